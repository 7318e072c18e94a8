/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * format.h: the bytes of a .wst file. docs/FORMAT.md says the same for people.
 *
 *   ws_disk_file | ws_disk_kind ws_disk_column* | ... | block | block | ...
 *   block: ws_disk_block | ws_disk_count* | one zstd frame
 *
 * The file says itself how the records of each kind are cut into columns, so that a reader needs no
 * knowledge of the kinds: records of a kind it has never heard of come out as they went in.
 * Little-endian throughout; structures grow at their end only, which their sizes in the file allow
 * for.
 */
#ifndef WS_TRACE_FORMAT_H
#define WS_TRACE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "wire.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "recordings are little-endian");

/* Not text, not cut to seven bits, not mangled by a transfer that rewrites line ends: as PNG does
 * it. */
#define WS_DISK_MAGIC	  "\x89WST\r\n\x1a\n"
#define WS_DISK_MAGIC_LEN 8

/* The first 16 bytes stay as they are in all versions of the format. */
struct ws_disk_file {
	char magic[WS_DISK_MAGIC_LEN];
	uint32_t format;
	uint32_t header_size; /* all that comes before the first block */
	uint64_t hash;	      /* xxh64 of the header with this field 0 */
	uint64_t
		file_id; /* random: the seed of the blocks' hashes, so that no block of another file
			    (or in a text that somebody had the server record) is taken for one */
	uint64_t start_mono_ns;
	int64_t start_wall_ns;
	uint32_t level;
	uint32_t ticks_per_s;
	uint32_t filter; /* 0, or a hash of what it is restricted by */
	uint32_t kinds;	 /* struct ws_disk_kind that follow */
	char version[32];
	char boot_id[40];
	char host[64];
};

/* How a value is told from the values before it. Numbers are never given another meaning. */
enum ws_predict {
	WS_PREDICT_NONE = 0,	   /* coded as it is */
	WS_PREDICT_SIGNED = 1,	   /* as it is, signed */
	WS_PREDICT_PREV = 2,	   /* difference to the previous record's */
	WS_PREDICT_PREV_FIELD = 3, /* difference to the previous record's field at `arg` */
	WS_PREDICT_FIELD = 4,	   /* difference to the same record's field at `arg` */
	WS_PREDICT_PART = 5,	   /* coded as it is; one of the parts that SUM adds up */
	WS_PREDICT_SUM = 6, /* difference to the previous record's plus all parts of this one */
	WS_PREDICT_CLOCK_US =
		7,	      /* difference to the previous record's plus the time between, in us */
	WS_PREDICT_BYTES = 8, /* no number: `arg` bytes as they are */
	WS_PREDICT_COUNT,
};

struct ws_disk_column {
	uint16_t offset; /* in the record */
	uint16_t arg;
	uint8_t width;	 /* 1, 2, 4, 8; 0 for bytes */
	uint8_t predict; /* enum ws_predict */
	uint16_t reserved;
};

/* flags of a kind */
enum ws_disk_kind_flags {
	WS_DISK_KIND_TAIL =
		1 << 0, /* behind short_size the record goes on with bytes, as its size says */
};

struct ws_disk_kind {
	uint16_t kind;
	uint16_t flags;	     /* enum ws_disk_kind_flags */
	uint16_t short_size; /* records of this kind have this size ... */
	uint16_t long_size;  /* ... or this one, if it is not 0 */
	uint16_t columns;    /* struct ws_disk_column that follow */
	uint16_t reserved[3];
};

#define WS_DISK_BLOCK_MAGIC 0x4b425357u /* "WSBK" */

struct ws_disk_block {
	uint32_t magic;
	uint16_t header_size; /* this structure, the counts, and what later versions put behind them
			       */
	uint16_t counts;      /* struct ws_disk_count that follow */
	uint64_t hash;	   /* xxh64 of header_size bytes with this field 0, seeded with file_id */
	uint64_t sequence; /* 0, 1, 2, ... */
	uint64_t first_record; /* records in all blocks before */
	uint64_t first_ns;     /* smallest and largest time_ns */
	uint64_t last_ns;
	uint32_t records;
	uint32_t record_bytes; /* the records' sizes added up */
	uint32_t plain_bytes;  /* content before compression */
	uint32_t stored_bytes; /* content in the file */
	uint64_t content_hash; /* xxh64 of the stored bytes, seeded with file_id */
};

/* How many records of a kind the block has: an index needs no content. */
struct ws_disk_count {
	uint16_t kind;
	uint16_t reserved;
	uint32_t count;
};

/*
 * Behind the counts, where header_size leaves room for it (recordings of before have none): what
 * tells whether the content has to be looked at. ws_disk_clock and then a process id (4 bytes) each
 * follow.
 */
enum ws_disk_index_flags {
	WS_DISK_INDEX_COMPLETE = 1 << 0,   /* all processes and all clocks of the block are there */
	WS_DISK_INDEX_CHECKPOINT = 1 << 1, /* its records repeat what was known where it begins */
	WS_DISK_INDEX_LAST = 1 << 2,	   /* what follows is in the next segment */
};
struct ws_disk_index {
	uint16_t size; /* with what follows */
	uint16_t flags;
	uint16_t clocks;
	uint16_t pids; /* of the sessions that the block has records of, each once */
};
struct ws_disk_clock {
	uint64_t mono_ns;
	int64_t wall_ns;
	uint64_t boot_ns;
};
#define WS_DISK_CLOCKS_MAX 4
#define WS_DISK_PIDS_MAX   768

/*
 * A segment of a flight recorder says so in the last bytes of its header. `run` is a random number
 * of the recorder's run.
 */
#define WS_DISK_SEGMENT_MAGIC 0x47535357u /* "WSSG" */
struct ws_disk_segment {
	uint32_t magic;
	uint32_t reserved;
	uint64_t run;
	uint64_t number;  /* in the directory: 1, 2, 3, ..., also from run to run */
	uint64_t records; /* in the run's segments before, without those of checkpoints */
};

/*
 * The content, before compression:
 *
 *   ws_disk_content | ws_disk_class* | records per run | run of each record | sizes of each class
 *   | columns of each class | bytes of each class
 *
 * A run is what a session has of one kind; a class is what the block has of one kind.
 * docs/FORMAT.md describes the arrays of numbers in between.
 */
struct ws_disk_content {
	uint32_t classes;
	uint32_t runs;
};

struct ws_disk_class {
	uint16_t kind;
	uint8_t verbatim; /* no columns: whole records as bytes */
	uint8_t reserved;
	uint32_t runs;
};

/* What a reader accepts: more is damage or malice. */
#define WS_DISK_HEADER_MAX	 (64 * 1024)
#define WS_DISK_BLOCK_HEADER_MAX 4096
#define WS_DISK_RECORD_BYTES_MAX (1024 * 1024)
#define WS_DISK_PLAIN_MAX	 (4 * 1024 * 1024)
#define WS_DISK_RECORDS_MAX	 (WS_DISK_RECORD_BYTES_MAX / sizeof(struct ws_rec))
#define WS_DISK_KINDS_MAX	 128 /* in a file, and in a block */
#define WS_DISK_COLUMNS_MAX	 256 /* of a kind */

_Static_assert(sizeof(struct ws_disk_file) == 200, "file format");
_Static_assert(offsetof(struct ws_disk_file, format) == 8, "file format");
_Static_assert(offsetof(struct ws_disk_file, header_size) == 12, "file format");
_Static_assert(offsetof(struct ws_disk_file, level) == 48, "file format");
_Static_assert(offsetof(struct ws_disk_file, version) == 64, "file format");
_Static_assert(sizeof(struct ws_disk_column) == 8, "file format");
_Static_assert(sizeof(struct ws_disk_kind) == 16, "file format");
_Static_assert(sizeof(struct ws_disk_block) == 72, "file format");
_Static_assert(offsetof(struct ws_disk_block, records) == 48, "file format");
_Static_assert(sizeof(struct ws_disk_count) == 8, "file format");
_Static_assert(sizeof(struct ws_disk_index) == 8, "file format");
_Static_assert(sizeof(struct ws_disk_clock) == 24, "file format");
_Static_assert(sizeof(struct ws_disk_segment) == 32, "file format");
_Static_assert(sizeof(struct ws_disk_content) == 8, "file format");
_Static_assert(sizeof(struct ws_disk_class) == 8, "file format");
/* A kind with odd sizes makes two classes: a block has half as many kinds. */
_Static_assert(sizeof(struct ws_disk_block) + WS_DISK_KINDS_MAX / 2 * sizeof(struct ws_disk_count) +
			       sizeof(struct ws_disk_index) +
			       WS_DISK_CLOCKS_MAX * sizeof(struct ws_disk_clock) +
			       WS_DISK_PIDS_MAX * sizeof(uint32_t) <=
		       WS_DISK_BLOCK_HEADER_MAX,
	       "a block's counts and index fit");

#endif
