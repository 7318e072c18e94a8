/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plant.h: hangs the sites of one binary on the kernel and takes them off again; private to probe/.
 */
#ifndef WS_PROBE_PLANT_H
#define WS_PROBE_PLANT_H

#include "base/error.h"
#include "probe/attach.h"

struct bpf_program;
struct bpf_link;

/* Sites that share a link (bpf/sites.h). Planted in this order, the start of sessions last: a
 * session is followed from a moment on at which all its other sites are in place. */
enum ws_plant_group { WS_PLANT_DETAIL, WS_PLANT_LOOP, WS_PLANT_SESSION, WS_PLANT_GROUPS };

struct ws_plant_site {
	struct bpf_program *prog;
	enum ws_plant_group group;
	enum ws_site site;
	uint64_t offset;       /* in the file */
	struct bpf_link *link; /* perf events only */
};

struct ws_plant {
	enum ws_attach_method method;
	char path[32]; /* /proc/self/fd/N: also reaches a deleted file, and one in another mount
			  namespace */
	struct ws_plant_site *sites;
	size_t count;
	size_t cap;
	int links[WS_PLANT_GROUPS]; /* uprobe_multi only; -1: none */
};

void ws_plant_init(struct ws_plant *plant, enum ws_attach_method method, int exe_fd);
/* Returns 0, or -1 when memory ran out. */
int ws_plant_add(struct ws_plant *plant, struct bpf_program *prog, enum ws_plant_group group,
		 enum ws_site site, uint64_t offset);
/* All sites or none. */
int ws_plant_attach(struct ws_plant *plant, struct ws_error *err);
/* Takes the sites off and frees the list. */
void ws_plant_remove(struct ws_plant *plant);

#endif
