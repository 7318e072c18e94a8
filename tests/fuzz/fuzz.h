/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz.h: what the fuzz targets share. A target is one file NAME_fuzz.c, a libFuzzer program of its
 * own; tests/fuzz/run makes the seeds and runs them all.
 */
#ifndef WS_TEST_FUZZ_H
#define WS_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* The four functions libFuzzer knows by name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
/* libFuzzer's own: changes data in place, returns the new size. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* A file in memory that holds the bytes, to be closed by the caller. Never fails. */
int fuzz_file(const uint8_t *data, size_t size);

/* Overwrites 1 to 8 bytes of data with a number that counts and offsets do not expect: a limit, one
 * beside it, or a bit of what was there. */
void fuzz_hostile_number(uint8_t *data, size_t size, unsigned int *random);
/* A number below `below`, which is not 0. */
size_t fuzz_below(unsigned int *random, size_t below);

/*
 * A stream of records on its way through the session model to every printer, output thrown away.
 * Records have passed ws_rec_valid().
 */
struct fuzz_show;
struct ws_rec;

struct fuzz_show *fuzz_show_new(void);
int fuzz_show_feed(struct fuzz_show *show, const struct ws_rec *rec);
/* Ends the stream, prints what is printed at the end, frees. */
void fuzz_show_end(struct fuzz_show *show);

#endif
