/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * private.h: what the files of live/ share.
 */
#ifndef WS_LIVE_PRIVATE_H
#define WS_LIVE_PRIVATE_H

#include <sys/types.h>

#include "event/idmap.h"
#include "event/ring.h"
#include "live/live.h"
#include "probe/crosscheck.h"
#include "probe/cluster.h"
#include "probe/plan.h"
#include "shmem/wal.h"
#include "symbol/resolve.h"
#include "target/proc.h"

/* One server binary the programs were loaded for. Several postmasters may run it. */
struct ws_binary {
	dev_t dev;
	ino_t ino;
	int exe_fd;
	char exe[512];
	struct ws_image *image;
	struct ws_symbol_set symbols;
	struct ws_plan plan;
	int layout_source; /* enum ws_layout_source */
	int major;
	char version[WS_VERSION_TEXT];
	uint16_t server;	  /* its number, 0 if it is not traced */
	uint64_t unused_since_ns; /* when its last postmaster was gone, 0: in use */
	/* What keeps it from being traced may be over later: tried again, ever more seldom. */
	unsigned int failures;
	uint64_t retry_ns;
	char reported[256];	     /* the cause that was reported last, once */
	uint64_t decoding_variable;  /* address in the file of logical_decoding_ctx, 0: not known */
	unsigned int decoding_tries; /* to find it */
	uint32_t distrusted;	     /* fields that its layout has wrong: bits of enum ws_check */
};

/* A postmaster that was looked at; a wanted one was announced by a server record. */
struct ws_known_postmaster {
	uint32_t pid;
	uint64_t start_ticks;
	bool wanted;
	bool announced; /* its sessions are followed; until then its binary is tried again */
	bool seen;	/* in the scan going on */
	/* of an announced one */
	uint16_t server;
	uint64_t base;
	struct ws_cluster cluster; /* as last told */
	bool cluster_told;
	struct ws_shmem_variables shmem_variables;
	struct ws_shmem shmem; /* for its WAL position; opened anew now and then */
	struct ws_wal_places wal_places;
	uint64_t shmem_opened_ns;
	int control_fd;		       /* of its control file, -1: it is opened when it is read */
	int pid_file_fd;	       /* of its postmaster.pid, likewise */
	struct ws_process walreceiver; /* of a standby; pid 0: none */
};

/* A session whose records are dropped because a filter excludes its server. */
struct ws_ignored {
	uint32_t pid;
	uint64_t start_ns;
};
#define WS_IGNORED_MAX 256

/* Records by kind. */
struct ws_account {
	uint64_t made_of[WS_STOP_KINDS];    /* by the collector, in place of the programs */
	uint64_t arrived_of[WS_STOP_KINDS]; /* out of the ring */
	uint64_t filtered_of[WS_STOP_KINDS];
	uint64_t counters[WS_COUNTER_COUNT]; /* the kernel's, when tracing was over */
};

struct ws_live {
	const struct ws_live_options *options;
	struct ws_proc proc;
	struct ws_sink sink;
	struct ws_tracer *tracer;
	struct ws_ring *ring;
	struct ws_order *order;
	struct ws_redact *redact; /* between the order and the sink, NULL: nothing is taken out */
	struct ws_binary **binaries; /* by pointer: plans and images stay where they are */
	size_t binary_count, binary_cap;
	struct ws_known_postmaster *postmasters;
	size_t postmaster_count, postmaster_cap;
	struct ws_server_list servers; /* as the last scan found them */
	struct ws_ignored ignored[WS_IGNORED_MAX];
	size_t ignored_next;
	struct ws_account account;
	uint64_t start_ns;     /* of the run */
	uint64_t detach_ns;    /* when taking the sites out began, 0: not yet */
	uint64_t untracked;    /* sessions the programs found the map full for, as reported */
	uint64_t lost_alone;   /* records of no session that were lost, as reported */
	uint64_t unseeded;     /* walsenders found running it was full for */
	unsigned int attached; /* servers that are being traced */
	unsigned int denied;   /* processes that the last scan was not allowed to examine */
	bool started;
	/* What kept a server from being traced and was not said yet. Until tracing has started the
	 * last one waits: it is the error if no server can be traced, else a warning. */
	struct ws_error problem;
	struct ws_sampled *samples; /* as last put into the stream, by pid */
	size_t sample_count;
	bool samples_failed;	    /* said once */
	struct ws_decoded *decoded; /* as last told */
	size_t decoded_count, decoded_cap;
	struct ws_backup_told *backups; /* backups.c: those that run */
	size_t backup_count, backup_cap;
	bool backups_failed;	    /* memory ran out */
	struct ws_rec_copy *copies; /* copies.c: as last seen */
	size_t copy_count;
	struct ws_memory_told *memories; /* memories.c: those that run */
	size_t memory_count, memory_cap;
	struct ws_waits *waits; /* waits.c */
	bool scan_failed;	/* the last one */
	bool complete;		/* no further server can come: nothing is looked for any more */
	int sink_result;	/* what the sink said last: not 0 ends the run */
};

/* servers.c: finds servers, loads and attaches what is new, seeds walsenders that already run.
 * Problems with one server are logged and do not keep others from being traced. */
int ws_live_scan(struct ws_live *live, struct ws_error *err);
/* The same while tracing goes on: -1 only if the sink said so. What else keeps it from succeeding
 * is logged once, and may be over at the next scan. */
int ws_live_rescan(struct ws_live *live);
/* The whole of tracing has begun: gives up the privileges that nothing needs any more. */
void ws_live_give_up(struct ws_live *live);
/* Was the run told to stop? Then what is not attached yet stays so. */
bool ws_live_stopped(const struct ws_live *live);
/* Is what --postgres names a server's executable at all? */
int ws_live_check_postgres(const struct ws_live_options *options, struct ws_error *err);
/* live.c: is a server named, or told by one of its processes? */
bool ws_live_is_narrowed(const struct ws_live_options *options);
void ws_live_warn(struct ws_live *live); /* says what waits in `problem` */
/* Logs what keeps a server, or one of its walsenders, from being traced. */
void ws_live_report(struct ws_live *live, const struct ws_error *why);
void ws_live_servers_deinit(struct ws_live *live);
struct ws_binary *ws_live_binary(struct ws_live *live, uint16_t server);
/* Do the filters want sessions of this postmaster? 1 yes, 0 no, -1 it was not seen yet. */
int ws_live_wants_postmaster(const struct ws_live *live, uint32_t pid);

/* records.c: the records the collector makes itself, and what it does to those of the kernel. */
/* Also the sink of the order module: the last step in front of the caller's sink. */
int ws_live_emit(void *arg, const struct ws_rec *rec);
int ws_live_emit_server(struct ws_live *live, const struct ws_postmaster *postmaster,
			const struct ws_binary *binary);
int ws_live_emit_clock(struct ws_live *live);
int ws_live_emit_note(struct ws_live *live, const char *text);
int ws_live_emit_stop(struct ws_live *live, struct ws_rec_stop *stop);
/* Missing since from_ns, of no session that is known. */
int ws_live_emit_gap(struct ws_live *live, enum ws_gap_cause cause, uint64_t from_ns,
		     uint64_t count);
/* No record of this session has arrived, and none would be wanted: it is not missed either. */
bool ws_live_is_strange(struct ws_live *live, uint32_t pid, const struct ws_entry *entry);

/* distrust.c: does the layout of a binary fit a server that runs it? False: `why` is filled. */
bool ws_live_fits(struct ws_live *live, const struct ws_binary *binary,
		  const struct ws_postmaster *postmaster, struct ws_misfit *misfit,
		  struct ws_error *why);
/* This field of a binary that is traced is unknown from now on. Said once by binary, here and in
 * the recording. -1: the sink said so. */
int ws_live_distrust(struct ws_live *live, struct ws_binary *binary,
		     const struct ws_misfit *misfit);
/* The records with fields that can be implausible. */
union ws_live_room {
	struct ws_rec rec;
	struct ws_rec_session session;
	struct ws_rec_state state;
	struct ws_rec_stream stream;
	struct ws_rec_turn turn;
	struct ws_rec_keepalive keepalive;
	struct ws_rec_error error;
};
/* The record itself, or a copy in `room` whose implausible fields are unknown. NULL: the sink said
 * so. */
const struct ws_rec *ws_live_doubt(struct ws_live *live, const struct ws_rec *rec,
				   union ws_live_room *room);

/* seeds.c: walsenders found running whose entries are made. Nothing may be taken out of the ring
 * until they are told of. */
struct ws_live_seeds {
	struct ws_seed *items;
	size_t count, cap;
};
/* Adds those of this postmaster that nobody follows yet. -1: out of memory, or the sink said so. */
int ws_live_seed_children(struct ws_live *live, const struct ws_postmaster *postmaster,
			  const struct ws_binary *binary, struct ws_live_seeds *seeds);
int ws_live_tell_seeds(struct ws_live *live, const struct ws_live_seeds *seeds);
/* Their sites could not be planted: deletes the entries. */
void ws_live_forget_seeds(struct ws_live *live, const struct ws_live_seeds *seeds);
void ws_live_seeds_deinit(struct ws_live_seeds *seeds);

/* samples.c: takes samples of the sessions and their sockets and passes on those that changed.
 * `fresh`: only of sessions none was taken of yet. */
int ws_live_emit_samples(struct ws_live *live, bool fresh);
/* A process whose stop or whose going on a record tells is not found out about once more. */
void ws_live_note_stop(struct ws_live *live, const struct ws_rec_signal *signal);
void ws_live_samples_deinit(struct ws_live *live);
/* The last sample of a session; NULL: there is none. */
const struct ws_rec_sample *ws_live_sample(const struct ws_live *live, uint32_t pid,
					   uint64_t start_ns);

/* memories.c: the memory contexts of sessions' processes, when a look is due (looks.h) and they
 * have changed; as above. */
int ws_live_emit_memories(struct ws_live *live);
void ws_live_memories_deinit(struct ws_live *live);

/* decoding.c: what logical sessions have decoded and hold, if it changed. */
int ws_live_emit_decoding(struct ws_live *live);
void ws_live_decoding_deinit(struct ws_live *live);

/* holders.c: whose the oldest transaction is that a logical session holds. */
struct ws_holding {
	uint32_t xid;	 /* as last seen, 0: none */
	uint32_t rounds; /* for so many looks */
	bool told;
};
int ws_live_tell_holder(struct ws_live *live, struct ws_holding *holding,
			const struct ws_rec_decoding *now);
/* Whose a transaction is that a session waits for, if it can be told. */
int ws_live_tell_awaited(struct ws_live *live, const struct ws_rec *session, uint32_t xid);

/* cluster.c: tells of each server's state what changed. */
int ws_live_emit_clusters(struct ws_live *live);
/* The server of this postmaster, if its sessions are followed; else NULL. */
struct ws_known_postmaster *ws_live_announced(struct ws_live *live, uint32_t pid);
/* The server is gone: what was told of it holds no more. */
int ws_live_end_cluster(struct ws_live *live, struct ws_known_postmaster *item);
/* The view of a server's shared memory; NULL if it cannot be had now. */
const struct ws_shmem *ws_live_shmem(struct ws_known_postmaster *item,
				     const struct ws_binary *binary);
/* Up to where the server has WAL now. */
void ws_live_wal_ends(struct ws_known_postmaster *item, const struct ws_binary *binary,
		      struct ws_wal_ends *ends);
/* standby_slots.c: of the slots that failover slots wait for (17 and later) the one furthest
 * behind. */
void ws_live_look_at_standby_slots(const struct ws_known_postmaster *item,
				   const struct ws_binary *binary, struct ws_cluster *cluster);
/* Of a list as synchronized_standby_slots has it: fills standby_* and the bit of `valid`, if it
 * names any. */
struct ws_slot_list;
void ws_live_judge_standby_slots(const char *names, const struct ws_slot_list *slots,
				 struct ws_cluster *cluster);
/* Before the privilege to open them is given up: takes hold of the servers' control files. */
void ws_live_hold_clusters(struct ws_live *live);
/* Of one postmaster, and of none that is held. */
void ws_live_release_cluster(struct ws_known_postmaster *item);

/* backups.c: how far each backup is, as the server says; tells what changed. -1: out of memory, or
 * the sink said so. */
int ws_live_emit_backups(struct ws_live *live);
void ws_live_backups_deinit(struct ws_live *live);

/* copies.c: how far each COPY is; as above. */
int ws_live_emit_copies(struct ws_live *live);
void ws_live_copies_deinit(struct ws_live *live);

/* waits.c: what sessions wait for and no probe shows: looks if the last time is long enough ago,
 * which drains the ring, too. -1: out of memory, or the sink said so. */
int ws_live_emit_waits(struct ws_live *live);
/* A session's process is stopped, or runs again: samples.c and signals say so and tell of it. What
 * it waited for before it waits for still when it goes on, and that is told then. */
void ws_live_waits_signal(struct ws_live *live, const struct ws_rec *session, bool stopped,
			  uint64_t time_ns);
void ws_live_waits_sampled(struct ws_live *live, const struct ws_rec *session, bool stopped);
void ws_live_waits_deinit(struct ws_live *live);
/* Is the record's session one that the filters exclude? */
bool ws_live_is_ignored(const struct ws_live *live, const struct ws_rec *rec);
/* From the ring: drops what filters exclude, completes, then passes on in order. */
int ws_live_from_ring(void *arg, const void *data, size_t size);

/* signals.c: records of the kernel that are in no session's sequence. */
/* Do the filters want this one? True for all other kinds. */
bool ws_live_wants_alone(const struct ws_live *live, const struct ws_rec *rec);
/* Which process of the server sent it: what pids alone do not tell. */
void ws_live_complete_signal(const struct ws_live *live, struct ws_rec_signal *signal);
/* Announces those that were lost since it was called last. */
int ws_live_report_lost_alone(struct ws_live *live, const uint64_t *counters, uint64_t since_ns);
/* account.c: by kind, made = lost + filtered + handed on. Whoever makes a record in place of the
 * programs, takes one out of the ring or drops one because no filter wants it counts it here. */
void ws_live_count_made(struct ws_live *live, const struct ws_rec *rec);
void ws_live_count_arrived(struct ws_live *live, const struct ws_rec *rec);
void ws_live_count_filtered(struct ws_live *live, const struct ws_rec *rec);
/* All probes are taken out: drains until the kernel's count and that of what arrived agree. -1 if
 * the sink said so. */
int ws_live_settle(struct ws_live *live);
/* Behind that: fills the counts of a STOP record. */
void ws_live_account(const struct ws_live *live, struct ws_rec_stop *stop);
/* And this a gap for what is lost by these counts, but by no session's sequence. */
int ws_live_emit_rest(struct ws_live *live, const struct ws_rec_stop *stop, uint64_t since_ns);

#endif
