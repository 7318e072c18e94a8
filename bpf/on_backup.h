/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * on_backup.h: BASE_BACKUP's phases and the chunks it hands to the client.
 */
#ifndef WS_ON_BACKUP_H
#define WS_ON_BACKUP_H

#include "server.h"

#define BACKUP_EVERY_NS 100000000ULL

static __always_inline void backup_phase(__u32 phase)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);

	if (!e)
		return;
	e->flags |= WS_ENTRY_IN_BACKUP;
	e->backup_mark_ns = 0;
	backup_emit(e, pid, phase, bpf_ktime_get_ns());
}

/* What was counted is told ten times a second. */
static __always_inline void backup_goes_on(struct ws_entry *e, __u32 pid, __u64 now)
{
	if (now - e->backup.h.time_ns >= BACKUP_EVERY_NS)
		backup_emit(e, pid, e->backup.phase, now);
}

static __always_inline void on_BACKUP_BEGIN(struct pt_regs *ctx)
{
	backup_phase(WS_BACKUP_BEGIN);
}

static __always_inline void on_BACKUP_CHECKPOINT(struct pt_regs *ctx)
{
	backup_phase(WS_BACKUP_CHECKPOINT);
}

static __always_inline void on_BACKUP_ESTIMATE(struct pt_regs *ctx)
{
	backup_phase(WS_BACKUP_ESTIMATE);
}

/* The first chunk begins the streaming; chunks of the WAL phase (BASE_BACKUP with WAL) belong to
 * that. */
static __always_inline void stream_begin(struct ws_entry *e, __u32 pid, __u64 now)
{
	if (e->backup.phase >= WS_BACKUP_STREAM && e->backup.phase != WS_BACKUP_UPLOAD)
		return;
	e->flags |= WS_ENTRY_IN_BACKUP;
	backup_emit(e, pid, WS_BACKUP_STREAM, now);
}

/* bbsink_copystream_archive_contents(sink, len). */
static __always_inline void on_BACKUP_CHUNK(struct pt_regs *ctx)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);
	__u64 now;

	if (!e)
		return;
	now = bpf_ktime_get_ns();
	stream_begin(e, pid, now);
	e->backup.chunks++;
	e->backup.bytes += WS_ARG2(ctx);
	if (cfg.site_addr[WS_SITE_BACKUP_CHUNK_END])
		e->backup_mark_ns = now;
	else
		backup_goes_on(e, pid, now);
}

static __always_inline void chunk_end(void)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);
	__u64 now;

	if (!e || !e->backup_mark_ns)
		return;
	now = bpf_ktime_get_ns();
	e->backup.send_ns += now - e->backup_mark_ns;
	e->backup_mark_ns = 0;
	backup_goes_on(e, pid, now);
}

static __always_inline void on_BACKUP_CHUNK_END(struct pt_regs *ctx)
{
	chunk_end();
}

/* Up to 14, the call of pq_putmessage in sendFile, by which nearly all of a backup goes out. */
static __always_inline void on_BACKUP_PUT(struct pt_regs *ctx)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);
	__u64 now;

	if (!e)
		return;
	now = bpf_ktime_get_ns();
	stream_begin(e, pid, now);
	if (cfg.site_addr[WS_SITE_BACKUP_PUT_END])
		e->backup_mark_ns = now;
}

static __always_inline void on_BACKUP_PUT_END(struct pt_regs *ctx)
{
	chunk_end();
}

/* update_basebackup_progress(delta): what was handed over, headers and padding, too. */
static __always_inline void on_BACKUP_PROGRESS(struct pt_regs *ctx)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);
	__u64 now;

	if (!e)
		return;
	now = bpf_ktime_get_ns();
	stream_begin(e, pid, now);
	e->backup.chunks++;
	e->backup.bytes += WS_ARG1(ctx);
	backup_goes_on(e, pid, now);
}

static __always_inline void on_BACKUP_WAIT_ARCHIVE(struct pt_regs *ctx)
{
	backup_phase(WS_BACKUP_WAIT_ARCHIVE);
}

static __always_inline void on_BACKUP_WAL(struct pt_regs *ctx)
{
	backup_phase(WS_BACKUP_WAL);
}

static __always_inline void on_BACKUP_MANIFEST(struct pt_regs *ctx)
{
	backup_phase(WS_BACKUP_MANIFEST);
}

/* AppendIncrementalManifestData(ib, data, len): a message of the manifest that an incremental
 * backup is to follow. */
static __always_inline void on_BACKUP_UPLOAD(struct pt_regs *ctx)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);
	__u64 now;

	if (!e)
		return;
	now = bpf_ktime_get_ns();
	if (e->backup.phase != WS_BACKUP_UPLOAD) {
		e->flags |= WS_ENTRY_IN_BACKUP;
		e->backup_mark_ns = 0;
		backup_emit(e, pid, WS_BACKUP_UPLOAD, now);
	}
	e->backup.chunks++;
	e->backup.bytes += (__u32)WS_ARG3(ctx);
	backup_goes_on(e, pid, now);
}

static __always_inline void on_BACKUP_DONE(struct pt_regs *ctx)
{
	backup_phase(WS_BACKUP_DONE);
}

#endif
