/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sites.h: which program serves which site. Shared by the programs, which make a dispatcher per
 * group and a program per site of it, and by the loader, which picks from them.
 *
 * A group is one link of uprobe_multi, and each link costs time to detach: few groups.
 */
#ifndef WS_SITES_H
#define WS_SITES_H

/* The life of a session, and what a transaction does once at most: rare events. */
#define WS_SITES_SESSION(X)    \
	X(SESSION_START)       \
	X(SESSION_READY)       \
	X(COMMAND_START)       \
	X(COMMAND_END)         \
	X(SQL_END)             \
	X(ERROR)               \
	X(FATAL)               \
	X(STATE)               \
	X(STREAM_START)        \
	X(KEEPALIVE)           \
	X(BACKUP_BEGIN)        \
	X(BACKUP_CHECKPOINT)   \
	X(BACKUP_ESTIMATE)     \
	X(BACKUP_CHUNK)        \
	X(BACKUP_CHUNK_END)    \
	X(BACKUP_PUT)          \
	X(BACKUP_PUT_END)      \
	X(BACKUP_PROGRESS)     \
	X(BACKUP_WAIT_ARCHIVE) \
	X(BACKUP_WAL)          \
	X(BACKUP_DONE)         \
	X(BACKUP_MANIFEST)     \
	X(BACKUP_UPLOAD)       \
	X(AUTH_BEGIN)          \
	X(AUTH_END)            \
	X(INITIALIZED)         \
	X(MESSAGE_REFUSED)     \
	X(ENDING)              \
	X(SLOT_CONTEXT)        \
	X(SPILL_STATS)         \
	X(STREAM_STATS)        \
	X(SPILL_START)         \
	X(SPILL_END)           \
	X(RESTORE_START)       \
	X(RESTORE_END)         \
	X(RESTORE_SECOND_END)  \
	X(RESTORE_THIRD_END)

/* The send loop: tens of thousands of hits a second. */
#define WS_SITES_LOOP(X)    \
	X(SEND_PHYSICAL)    \
	X(SEND_LOGICAL)     \
	X(READ_PAGE)        \
	X(FLUSH_END)        \
	X(WAIT_START)       \
	X(WAIT_END)         \
	X(REPLIES_END)      \
	X(REPLIES_COPY_END) \
	X(LOOP_WAIT_START)  \
	X(LOOP_WAIT_END)    \
	X(WRITE_WAIT_START) \
	X(WRITE_WAIT_END)   \
	X(WAL_WAIT_START)   \
	X(WAL_WAIT_END)

/* Level 3: each WAL read and each logical message. */
#define WS_SITES_DETAIL(X) \
	X(READ_START)      \
	X(READ_END)        \
	X(DECODE_START)    \
	X(DECODE_END)      \
	X(MESSAGE_PREPARE) \
	X(MESSAGE_WRITE)   \
	X(MESSAGE_FLUSHED) \
	X(TXN_START)       \
	X(TXN_REPLAY)      \
	X(TXN_PROCESS)     \
	X(TXN_PREPARE)     \
	X(TXN_FINISH)      \
	X(TXN_ABORT)

#endif
