/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * wire.h: the records that programs put into the ring buffer and recordings keep.
 *
 * The same bytes travel from the kernel into the recording and out of it again. Kinds are numbered
 * explicitly and never renumbered; a reader skips unknown kinds by their size; fields are only ever
 * appended. All integers are little-endian, all times CLOCK_MONOTONIC ns unless a name says
 * otherwise. docs/EVENTS.md describes each kind for people; event/schema.c describes each for
 * programs.
 */
#ifndef WS_WIRE_H
#define WS_WIRE_H

#ifndef __bpf__
#include <linux/types.h>
#include <stddef.h>
#endif

/* Who makes a kind: below 64 the programs in the kernel, from 64 on the collector. */
enum ws_kind {
	WS_KIND_SESSION = 1, /* a walsender was seen: PostgresMain's entry, or found running */
	WS_KIND_READY = 2,   /* authenticated: InitWalSender's entry */
	WS_KIND_COMMAND = 3, /* exec_replication_command's entry; text follows */
	WS_KIND_TEXT = 4,    /* a piece of a command's or an error's text */
	WS_KIND_COMMAND_END =
		5,		/* a command returned, or turned out to be SQL, or that SQL ended */
	WS_KIND_ERROR = 6,	/* ERROR, FATAL or COMMERROR; text follows */
	WS_KIND_STATE = 7,	/* the walsender's own state changed (WalSndSetState) */
	WS_KIND_STREAM = 8,	/* WalSndLoop's entry */
	WS_KIND_TURN = 9,	/* one turn (or several quiet ones) of the send loop */
	WS_KIND_KEEPALIVE = 10, /* WalSndKeepalive */
	WS_KIND_BACKUP = 11,	/* BASE_BACKUP entered another phase */
	WS_KIND_EXIT = 12,	/* the process ended */
	WS_KIND_PHASE = 13,	/* the start of a session came further (see ws_phase) */
	WS_KIND_TEXT_SUM = 14,	/* true length and hash of a text that is cut */
	WS_KIND_MESSAGE = 15,	/* a protocol message came in that walsenders refuse */
	WS_KIND_SIGNAL = 16,	/* to a walsender or postmaster: ends, stops or continues it */
	WS_KIND_SLOT = 17,	/* a server process reported that it takes a slot away */
	WS_KIND_ENDING = 18,	/* WalSndKill: proc_exit runs */
	WS_KIND_OFF_CPU = 19,	/* it could run, and waited for a CPU (level 3) */
	WS_KIND_TXN = 20,	/* of a transaction all was decoded, or a piece (level 3) */
	WS_KIND_KERNEL_LAST = WS_KIND_TXN,

	WS_KIND_SERVER = 64, /* identity of a server binary and its postmaster */
	WS_KIND_GAP = 65,    /* events known to be missing */
	WS_KIND_CLOCK = 66,  /* a monotonic-to-wall pair */
	WS_KIND_STOP = 67,   /* the recording ended in good order */
	WS_KIND_NOTE = 68,   /* something the collector wants kept: a probe that never fired, ... */
	WS_KIND_SOCKET = 69, /* the counters of a session's TCP socket */
	WS_KIND_SAMPLE = 70, /* what scheduler, memory and storage say of a session's process */
	WS_KIND_BLOCKED = 71,  /* a session waits for what no probe shows, or does so no more */
	WS_KIND_DECODING = 72, /* what a logical session's memory says of its decoding */
	WS_KIND_CLUSTER = 73,  /* what a server's shared memory and files say of it */
	WS_KIND_PROGRESS = 74, /* how far a backup is, by the server's own account */
	WS_KIND_CGROUP = 75,   /* the CPU quota that a session's process has */
	WS_KIND_HOLDER = 76,   /* whose open transaction holds a logical session's slot back */
	WS_KIND_COPY = 77,     /* how far a COPY is, by the server's own account */
	WS_KIND_MEMORY = 78,   /* the memory contexts of a session's process */
	WS_KIND_COLLECTOR_LAST = WS_KIND_MEMORY,
	WS_KIND_MAX = 128,
};

/*
 * Head of each record. A session is (pid, start_ns); `start_ns` is the task's start_boottime, whose
 * value in clock ticks is field 22 of /proc/PID/stat: of a process found running it is no more
 * precise than that. `seq` counts the session's records from 0
 * without a hole, also those the ring buffer had no room for. Both are 0 in records that belong to
 * no session.
 */
struct ws_rec {
	__u16 size; /* of the whole record, head included */
	__u16 kind;
	__u32 pid; /* process id (tgid) in the initial pid namespace */
	__u64 time_ns;
	__u64 start_ns;
	__u32 seq;
	__u16 server; /* which WS_KIND_SERVER this belongs to, 0 for none */
	__u16 flags;  /* of the kind */
};

#define WS_NAME_LEN 64 /* NAMEDATALEN; longer values are cut as PostgreSQL cuts them */
#define WS_HOST_LEN 64

/* Which of a session's fields could be read (EFAULT is never shown as an empty string). */
enum ws_session_valid {
	WS_VALID_USER = 1 << 0,
	WS_VALID_DATABASE = 1 << 1,
	WS_VALID_APPLICATION = 1 << 2,
	WS_VALID_HOST = 1 << 3,
	WS_VALID_PORT = 1 << 4,
	WS_VALID_NS_PID = 1 << 5,
	WS_VALID_PARENT = 1 << 6,
	WS_VALID_TLS = 1 << 7, /* WS_SESSION_TLS says whether */
};

/* flags of WS_KIND_SESSION */
enum ws_session_flags {
	WS_SESSION_DATABASE = 1 << 0, /* am_db_walsender: replication=database */
	WS_SESSION_RUNNING =
		1 << 1, /* already ran when walscope attached; fields read from its memory */
	WS_SESSION_TLS = 1 << 2, /* Port.ssl_in_use; for WS_VALID_TLS */
	WS_SESSION_REFUSED =
		1 << 3, /* seen first by the FATAL that refused it: its error follows */
	/* with REFUSED: its start-up packet was not read to the end, because the value of
	 * `replication` is none: DATABASE is not known, nor are names that come behind it */
	WS_SESSION_UNPARSED = 1 << 4,
	WS_SESSION_CASCADING = 1 << 5, /* am_cascading_walsender; for WS_SESSION_RUNNING */
	/* made of a server's log, not by a program: what the session did between the log's lines
	 * is not known, nor when a command that went well ended */
	WS_SESSION_LOGGED = 1 << 6,
};

/* What a session that already ran was doing when it was found (read from memory, a snapshot). */
enum ws_found {
	WS_FOUND_UNKNOWN = 0,
	WS_FOUND_IDLE = 1,	    /* between commands */
	WS_FOUND_COMMAND = 2,	    /* in a command that does not stream, or cannot be told */
	WS_FOUND_STREAM_WAL = 3,    /* in the send loop, waiting for WAL */
	WS_FOUND_STREAM_SOCKET = 4, /* in the send loop, output pending, waiting for the socket */
	WS_FOUND_STREAM_BUSY = 5,   /* in the send loop, not waiting */
	WS_FOUND_STREAM_STANDBY =
		6,		  /* in the send loop, waiting for failover slots' standbys (17+) */
	WS_FOUND_STREAM_RECV = 7, /* in the send loop, inside a message whose rest has not come */
	WS_FOUND_BACKUP_SEND = 8, /* in BASE_BACKUP, handing bytes to the client */
	WS_FOUND_STARTING = 9,	  /* waiting for its client to tell who he is */
	WS_FOUND_BACKUP_CHECKPOINT = 10, /* in BASE_BACKUP, waiting for its checkpoint */
	WS_FOUND_BACKUP_ARCHIVE = 11,	 /* in BASE_BACKUP, waiting for its WAL to be archived */
};

struct ws_rec_session {
	struct ws_rec h;
	__u64 fork_ns; /* when the process was forked */
	__u64 base;    /* load base: address in the process minus address in the file */
	__u32 ns_pid;  /* MyProcPid: the pid in the server's own namespace */
	__u32 postmaster_pid;
	__u32 valid;	   /* enum ws_session_valid */
	__u8 found;	   /* enum ws_found, for WS_SESSION_RUNNING */
	__u8 walsnd_state; /* enum ws_walsnd_state + 1, 0 if unknown; for WS_SESSION_RUNNING */
	__u16 port;	   /* the client's, 0 for a Unix socket */
	__u64 sent_lsn;	   /* for WS_SESSION_RUNNING */
	char user[WS_NAME_LEN];
	char database[WS_NAME_LEN];
	char application[WS_NAME_LEN];
	char host[WS_HOST_LEN]; /* address, or "[local]" */
	char slot[WS_NAME_LEN]; /* for WS_SESSION_RUNNING */
};

struct ws_rec_ready {
	struct ws_rec h;
};

/* What WS_KIND_SESSION (the start-up packet has been read) and WS_KIND_READY (InitPostgres is over)
 * leave open of a session's start. */
enum ws_phase {
	WS_PHASE_AUTH_BEGIN = 1,  /* ClientAuthentication's entry */
	WS_PHASE_AUTH_END = 2,	  /* it returned: the client is authenticated */
	WS_PHASE_INITIALIZED = 3, /* InitWalSender returned: commands can come */
};

/* flags of WS_KIND_PHASE */
enum ws_phase_flags {
	WS_PHASE_CASCADING = 1 << 0, /* am_cascading_walsender: the server is a standby itself */
};

struct ws_rec_phase {
	struct ws_rec h;
	__u32 phase; /* enum ws_phase */
	__u32 reserved;
};

/* flags of WS_KIND_COMMAND */
enum ws_command_flags {
	WS_COMMAND_RUNNING =
		1 << 0, /* it already ran when walscope attached: the start is not known */
	WS_COMMAND_STARTED =
		1 << 1, /* with RUNNING: but it is, from before: time_ns (trace/checkpoint.h) */
};

struct ws_rec_command {
	struct ws_rec h;
};

enum ws_text_of { WS_TEXT_COMMAND = 1, WS_TEXT_MESSAGE = 2 };

/* flags of WS_KIND_TEXT */
enum ws_text_flags {
	WS_TEXT_LAST = 1 << 0,
	WS_TEXT_TRUNCATED = 1 << 1,  /* with LAST: the text went on */
	WS_TEXT_UNREADABLE = 1 << 2, /* with LAST: the memory could not be read at this offset */
};

#define WS_TEXT_CHUNK_SMALL 448
#define WS_TEXT_CHUNK	    16384
#define WS_TEXT_MAX	    (1024 * 1024)

/* Follows its WS_KIND_COMMAND or WS_KIND_ERROR at once; the size of the record says how many bytes.
 */
struct ws_rec_text {
	struct ws_rec h;
	__u32 of; /* enum ws_text_of */
	__u32 offset;
	__u32 len; /* bytes of data, without a NUL */
	__u32 reserved;
	char data[];
};

/* flags of WS_KIND_TEXT_SUM */
enum ws_text_sum_flags {
	WS_TEXT_SUM_HASH = 1 << 0, /* `hash` is valid */
};

/*
 * Of a text that goes on behind WS_TEXT_MAX: comes in front of the last of its chunks. The kernel
 * hashes whole stripes of 32 bytes; the collector ends that with the bytes behind the last one, and
 * keeps the record without its last two fields.
 */
struct ws_rec_text_sum {
	struct ws_rec h;
	__u32 of; /* enum ws_text_of */
	__u32 reserved;
	__u64 len;  /* bytes of the whole text, without its NUL */
	__u64 hash; /* XXH64 of it, seed 0 */
	__u64 lanes[4];
	__u8 tail[32];
};
#define WS_TEXT_SUM_SIZE offsetof(struct ws_rec_text_sum, lanes)

/* A message type of the extended protocol, or a function call (forbidden_in_wal_sender,
 * postgres.c). Its ERROR follows. */
struct ws_rec_message {
	struct ws_rec h;
	__u32 type; /* the byte that names it: 'P', 'B', 'E', 'D', 'C', 'F' */
	__u32 reserved;
};

enum ws_command_how {
	WS_COMMAND_DONE = 1,	 /* exec_replication_command returned true */
	WS_COMMAND_IS_SQL = 2,	 /* it returned false: exec_simple_query runs the text now */
	WS_COMMAND_SQL_DONE = 3, /* exec_simple_query returned */
};

struct ws_rec_command_end {
	struct ws_rec h;
	__u32 how; /* enum ws_command_how */
	__u32 reserved;
};

/* The same in all majors; the programs translate PostgreSQL's own numbers, which differ. */
enum ws_elevel {
	WS_ELEVEL_COMMERROR = 1,
	WS_ELEVEL_ERROR = 2,
	WS_ELEVEL_FATAL = 3,
	WS_ELEVEL_PANIC = 4,
};

enum ws_error_valid {
	WS_VALID_SQLSTATE = 1 << 0,
	WS_VALID_FILE = 1 << 1,
	WS_VALID_FUNCTION = 1 << 2,
	WS_VALID_LINE = 1 << 3,
};

/* From the kernel without its last two fields (see `size`) where the strings are constants of the
 * server binary, which the collector reads from the file; with them where they are an extension's.
 */
struct ws_rec_error {
	struct ws_rec h;
	__u32 elevel;	/* enum ws_elevel */
	__u32 sqlstate; /* packed, PostgreSQL's MAKE_SQLSTATE: six bits a character */
	__u32 line;
	__u32 valid;	     /* enum ws_error_valid */
	__u64 file_addr;     /* relative to the load base */
	__u64 function_addr; /* relative to the load base */
	char file[WS_NAME_LEN];
	char function[WS_NAME_LEN];
};
#define WS_ERROR_WIRE_SIZE offsetof(struct ws_rec_error, file)

/* enum WalSndState of walsender_private.h: the same in 10 to 18. */
enum ws_walsnd_state {
	WS_WALSND_STARTUP = 0,
	WS_WALSND_BACKUP = 1,
	WS_WALSND_CATCHUP = 2,
	WS_WALSND_STREAMING = 3,
	WS_WALSND_STOPPING = 4,
};

struct ws_rec_state {
	struct ws_rec h;
	__u32 from; /* enum ws_walsnd_state */
	__u32 to;
	__u64 sent_lsn;
};

/* flags of WS_KIND_STREAM */
enum ws_stream_flags {
	WS_STREAM_LOGICAL = 1 << 0,
	WS_STREAM_SLOT = 1 << 1, /* `slot` is valid */
};

struct ws_rec_stream {
	struct ws_rec h;
	__u64 sent_lsn;
	char slot[WS_NAME_LEN];
};

/*
 * Where the time of a turn went. Between two records of one session the programs keep exactly one
 * stage current, so that the sums of a record add up to time_ns - begin_ns.
 */
enum ws_stage {
	WS_STAGE_OTHER = 0,  /* inside a command, but in none of the stages below */
	WS_STAGE_WAIT = 1,   /* in WalSndWait: for what, the record before says (`wait`) */
	WS_STAGE_REPLY = 2,  /* ProcessRepliesIfAny, from the end of a wait on */
	WS_STAGE_SEND = 3,   /* building and pushing bytes; below level 3 to the turn's end */
	WS_STAGE_READ = 4,   /* reading WAL (level 3; else part of SEND or DECODE) */
	WS_STAGE_DECODE = 5, /* XLogSendLogical */
	WS_STAGE_PLUGIN = 6, /* output plugin formatting a message (level 3; else part of DECODE) */
	WS_STAGE_TAIL = 7,   /* behind the flush, up to the next turn (level 3) */
	WS_STAGE_COUNT = 8,
};

/* What a turn is about to wait for when its record is made. */
enum ws_wait {
	WS_WAIT_NONE = 0,    /* not waiting: the next turn begins at once */
	WS_WAIT_WAL = 1,     /* caught up */
	WS_WAIT_SOCKET = 2,  /* WL_SOCKET_WRITEABLE in the mask: the socket takes no more */
	WS_WAIT_STANDBY = 3, /* failover slots, 17 and later */
};

/* flags of WS_KIND_TURN */
enum ws_turn_flags {
	WS_TURN_LOGICAL = 1 << 0,
	WS_TURN_REPLY = 1 << 1,	  /* a reply came in: the part from write_lsn on is there */
	WS_TURN_PENDING = 1 << 2, /* it waits for the socket to take the output that is pending */
	WS_TURN_WOKE = 1 << 3,	  /* `woke` is valid */
	WS_TURN_ATTACHED =
		1 << 4, /* first record of a session found running: begin_ns is the attach */
};

/*
 * A turn's record is made when the turn ends: when the wait begins, or when the next turn does
 * something if it did not wait. It holds the time since the record before: first the wait that one
 * announced, then this turn. Logical turns are folded into one record until one waits, a reply has
 * come in, or 10 ms have passed (`turns` counts them). At most one of the physical `sends` of a
 * record moved sentPtr, and is a message.
 */
struct ws_rec_turn {
	struct ws_rec h;
	__u64 begin_ns;
	__u64 lsn_from; /* sentPtr when the turn began and when it ended */
	__u64 lsn_to;
	__u64 stage_ns[WS_STAGE_COUNT];
	__u32 turns;
	__u32 sends;	/* calls of XLogSendPhysical or XLogSendLogical, below level 3 in place of
			   the latter of logical_read_xlog_page */
	__u32 reads;	/* WAL reads (level 3) */
	__u32 messages; /* logical messages written (level 3) */
	__u64 message_bytes; /* their bytes (level 3) */
	__u32 woke;	     /* what ended the wait: WL_* bits, 0 for the timeout */
	__u32 wait;	     /* enum ws_wait: the wait that begins now */
	__u32 wait_mask;     /* the WL_* socket events it waits for; where the scheduler told of the
				wait, as the output that is pending says */
	__u32 wait_event;    /* PostgreSQL's wait_event_info; numbers differ by major */
	__s64 timeout_ms;    /* -1: not known, as where the scheduler told of the wait */
	/* only with WS_TURN_REPLY */
	__u64 write_lsn;
	__u64 flush_lsn;
	__u64 apply_lsn;
	__s64 write_lag_us; /* WalSnd.writeLag: -1 if the server does not know */
	__s64 flush_lag_us;
	__s64 apply_lag_us;
	__s64 reply_time_us; /* the standby's clock, us since 2000-01-01 UTC; 0 if not sent */
};
#define WS_TURN_SHORT_SIZE offsetof(struct ws_rec_turn, write_lsn)

/* PostgreSQL's latch.h: WL_* bits, as far as walsenders use them (9.6 to 18). */
#define WS_WL_LATCH_SET	       0x01
#define WS_WL_SOCKET_READABLE  0x02
#define WS_WL_SOCKET_WRITEABLE 0x04
#define WS_WL_TIMEOUT	       0x08
#define WS_WL_POSTMASTER_DEATH 0x10

/*
 * How long the session was runnable and not running since the record of this kind before it, by the
 * stage it was in; outside the send loop that is WS_STAGE_OTHER. Comes in front of the record that
 * tells of that time (turn, backup, command_end, exit), and not for less than 100 us.
 */
struct ws_rec_off_cpu {
	struct ws_rec h;
	__u64 stage_ns[WS_STAGE_COUNT];
};

struct ws_rec_keepalive {
	struct ws_rec h;
	__u64 lsn; /* WalSnd's sentPtr */
	__u32 request_reply;
	__u32 reserved;
};

enum ws_backup_phase {
	WS_BACKUP_BEGIN = 1,	  /* perform_base_backup's entry */
	WS_BACKUP_CHECKPOINT = 2, /* waiting for the checkpoint */
	WS_BACKUP_ESTIMATE = 3,
	WS_BACKUP_STREAM = 4, /* reading and sending files; `bytes` sent so far */
	WS_BACKUP_WAIT_ARCHIVE = 5,
	WS_BACKUP_WAL = 6,
	WS_BACKUP_DONE = 7,
	WS_BACKUP_MANIFEST = 8, /* sending the manifest */
	WS_BACKUP_UPLOAD = 9,	/* UPLOAD_MANIFEST (17 and later): `bytes` came from the client */
};

/* In phases STREAM, WAL and UPLOAD a record is made at least every 100 ms; send_ns is the part of
 * the time since the record before that went into handing chunks to the client, the rest into
 * reading. */
struct ws_rec_backup {
	struct ws_rec h;
	__u32 phase; /* enum ws_backup_phase: the phase that begins or goes on now */
	__u32 chunks;
	__u64 bytes;   /* since the record before */
	__u64 send_ns; /* since the record before */
};

struct ws_rec_exit {
	struct ws_rec h;
	__u32 code;	  /* exit status, if signal is 0 */
	__u32 signal;	  /* that killed it, 0 for none */
	__u32 lost;	  /* records of the session the ring buffer had no room for */
	__u32 unreadable; /* fields that could not be read */
	/* with WS_EXIT_SOCKET: as in ws_rec_socket. Recordings of before have no such fields. */
	__u64 wire_bytes;
	__u64 acked_bytes;
};
#define WS_EXIT_SHORT_SIZE offsetof(struct ws_rec_exit, wire_bytes)

/* flags of WS_KIND_EXIT */
enum ws_exit_flags {
	WS_EXIT_SOCKET = 1 << 0,
	/* Set by the collector: the sites were being taken out, or were out, by then. What the
	 * session said at its end may be missing. */
	WS_EXIT_UNWATCHED = 1 << 1,
};

/* WalSndKill's entry (walsender.c), called by proc_exit. */
struct ws_rec_ending {
	struct ws_rec h;
	__u32 code;  /* proc_exit's */
	__u32 cause; /* pgStatSessionEndCause (pgstat.h, 14 and later) + 1, 0 if not known */
};
/* flags of WS_KIND_ENDING */
enum ws_ending_flags {
	WS_ENDING_MUTED = 1 << 0, /* log_min_messages lets no COMMERROR through (elog.c) */
};
/* enum SessionEndType of pgstat.h, 14 to 18. */
#define WS_END_CAUSE_NOT_YET	1
#define WS_END_CAUSE_NORMAL	2
#define WS_END_CAUSE_CLIENT_EOF 3
#define WS_END_CAUSE_FATAL	4
#define WS_END_CAUSE_KILLED	5

/* What the process is to the target that sent it the signal. The programs know families; which
 * child of the postmaster it is the collector reads off its title. */
enum ws_signal_role {
	WS_ROLE_UNKNOWN = 0,
	WS_ROLE_KERNEL = 1,	  /* the kernel: a fault, or memory ran out */
	WS_ROLE_POSTMASTER = 2,	  /* the target's own */
	WS_ROLE_CHECKPOINTER = 3, /* of the target's server, or its startup process */
	WS_ROLE_BACKEND = 4,	  /* any other process of the target's server */
	WS_ROLE_OTHER = 5,	  /* no process of the server: an administrator, another program */
	WS_ROLE_SELF = 6,	  /* the target itself */
};

/*
 * Made in the sender's context, so it is no record of the target's sequence: its head names no
 * session, and `pid` and `start_ns` are 0.
 */
struct ws_rec_signal {
	struct ws_rec h;
	__u32 signal;
	__u32 target_pid;
	__u64 target_start_ns; /* start_boottime of the target: as in a session's head */
	__u32 sender_pid;      /* 0: the kernel */
	__u32 role;	       /* enum ws_signal_role */
	char sender[16];       /* its comm */
};

#define WS_SLOT_MESSAGE_LEN 256

/*
 * The server's own log line (InvalidatePossiblyObsoleteSlot of slot.c, 13 to 15;
 * ReportSlotInvalidation from 16 on): that it ends a process to release a slot, and later that it
 * invalidates the slot. The name stands in the message in quotes, whatever the language. The head
 * names no session.
 */
struct ws_rec_slot {
	struct ws_rec h;
	__u32 by_pid; /* who said so: the checkpointer, or the startup process */
	__u32 reserved;
	char message[WS_SLOT_MESSAGE_LEN];
};

/*
 * Counters of a session's TCP socket, since the connection began (struct tcp_sock): what
 * wire_bytes and acked_bytes mean the design says. Taken by the collector about once a second, and
 * when a session is found running or tracing ends; the exit record has them as of the end.
 */
struct ws_rec_socket {
	struct ws_rec h;     /* the session; no number of its sequence */
	__u64 wire_bytes;    /* handed to the socket: bytes_acked + write_seq - snd_una */
	__u64 acked_bytes;   /* bytes_acked */
	__u64 sent_bytes;    /* bytes_sent: retransmitted ones count each time */
	__u64 retrans_bytes; /* bytes_retrans */
	__u32 unsent_bytes;  /* write_seq - snd_nxt: in the send queue, not sent once */
	__u32 srtt_us;	     /* smoothed round-trip time */
	/* Recordings of before have none of what follows. Times in us since the connection began
	 * (tcp_chrono: in jiffies, so steps of up to 10 ms); of the busy time, how long the
	 * receiver's window and how long the own send buffer was what held the data back. */
	__u64 busy_us;
	__u64 rwnd_limited_us;
	__u64 sndbuf_limited_us;
	__u64 ack_age_us;      /* since the peer's last packet came in (rcv_tstamp) */
	__u32 in_flight_bytes; /* snd_nxt - snd_una: sent, not acknowledged */
	__u32 min_rtt_us;
	__u32 rto_us;
	__u32 window_bytes; /* snd_wnd: the receiver's */
	__u32 mss_bytes;
	__u32 cwnd; /* packets */
	__u32 in_flight_packets;
	__u32 total_retrans; /* packets retransmitted since the connection began */
	__u32 sndbuf_bytes;  /* sk_sndbuf */
	__u32 queued_bytes;  /* sk_wmem_queued, with the kernel's overhead */
	__u8 tcp_state;	     /* TCP_ESTABLISHED = 1, ... */
	__u8 timer;	     /* enum ws_tcp_timer */
	__u8 backoff;	     /* of that timer: doublings */
	__u8 retransmits;    /* time-outs in a row without an acknowledgement */
	__u8 probes;	     /* window probes in a row without an answer */
	__u8 ca_state;	     /* TCP_CA_Open = 0, Disorder, CWR, Recovery, Loss */
	__u8 reserved[2];
};
#define WS_SOCKET_SHORT_SIZE offsetof(struct ws_rec_socket, busy_us)

/* icsk_pending of inet_connection_sock.h, in our own numbers. */
enum ws_tcp_timer {
	WS_TCP_TIMER_NONE = 0,
	WS_TCP_TIMER_RETRANSMIT = 1, /* also the early and the tail loss ones */
	WS_TCP_TIMER_PERSIST = 2,    /* zero-window probes */
	WS_TCP_TIMER_OTHER = 3,
};

enum ws_sample_valid {
	WS_SAMPLE_TARGET = 1 << 0,
	WS_SAMPLE_PENDING = 1 << 1,
	WS_SAMPLE_UNIX = 1 << 2, /* the client's connection is a Unix socket */
	WS_SAMPLE_THROTTLED = 1 << 3,
	WS_SAMPLE_RSS = 1 << 4,
	WS_SAMPLE_DELAY = 1 << 5, /* the kernel keeps run_delay_ns */
	WS_SAMPLE_READ = 1 << 6,  /* the kernel keeps read_bytes */
	WS_SAMPLE_PRIVATE = 1 << 7,
};

/*
 * Taken about once a second of each session, if something changed. Counters are since the process
 * began (struct task_struct), and of its main thread alone.
 */
struct ws_rec_sample {
	struct ws_rec h;	 /* the session; no number of its sequence */
	__u64 run_ns;		 /* on a CPU: se.sum_exec_runtime */
	__u64 run_delay_ns;	 /* runnable, and waiting for a CPU: sched_info.run_delay */
	__u64 read_bytes;	 /* read from storage: ioac.read_bytes */
	__u64 throttled_ns;	 /* its control group was out of CPU quota: cpu.stat */
	__u64 target_lsn;	 /* up to where there is WAL to send, by the server's own account */
	__u64 rss_bytes;	 /* memory of its own and shared with the server */
	__u32 pending_bytes;	 /* in the server's own output buffer, not handed to the socket */
	__u32 unix_queued_bytes; /* Unix: handed to the socket, not read by the peer */
	__u32 unix_sndbuf_bytes; /* how much may be */
	__u32 unix_packets;	 /* Unix: pieces in the peer's queue */
	__u32 valid;		 /* enum ws_sample_valid */
	__u8 task_state;	 /* as in /proc/PID/stat: 'R', 'S', 'D', 'T', 't', ... */
	__u8 reserved;
	__u16 reserved2;
	/* Of rss_bytes what is neither a file's nor shared. Recordings of before have no such
	 * field. */
	__u64 private_bytes;
};
#define WS_SAMPLE_SHORT_SIZE offsetof(struct ws_rec_sample, private_bytes)

enum ws_txn_end {
	WS_TXN_END_UNKNOWN = 0,	      /* a commit: recordings of before have nothing else */
	WS_TXN_COMMIT = 1,	      /* ReorderBufferCommit */
	WS_TXN_PREPARE = 2,	      /* ReorderBufferPrepare: handed out, and it waits */
	WS_TXN_COMMIT_PREPARED = 3,   /* ReorderBufferFinishPrepared */
	WS_TXN_ROLLBACK_PREPARED = 4, /* likewise */
	WS_TXN_ABORT = 5,	      /* ReorderBufferAbort; of a subtransaction, too */
	WS_TXN_PIECE = 6,	      /* it goes on: changes were handed out meanwhile */
};

/*
 * A transaction whose end was decoded, when that was over: the client was handed all of it, or the
 * output plugin had no use for it. Of one that is in progress, a piece that the client was handed.
 * Level 3. Without a change or a message there is no record.
 */
struct ws_rec_txn {
	struct ws_rec h;     /* h.flags: enum ws_txn_flags */
	__u64 begin_ns;	     /* that record was come to */
	__u64 first_lsn;     /* its first record */
	__u64 commit_lsn;    /* the record that ends it (ABORT: its end); of a PIECE 0 */
	__u64 changes;	     /* without those of subtransactions, and those handed out before */
	__u64 bytes;	     /* of them in memory at begin_ns */
	__u64 message_bytes; /* handed to the client from begin_ns on */
	__u64 restore_ns;    /* spent reading changes back from disk in that time */
	__u32 messages;
	__u32 xid;
	/* Recordings of before have none of what follows. */
	__u32 end;	   /* enum ws_txn_end */
	__u32 subtxns;	   /* subtransactions */
	__u64 spill_bytes; /* written to disk since it began, or since tracing did */
	__u64 spill_ns;	   /* in that time */
};
#define WS_TXN_SHORT_SIZE offsetof(struct ws_rec_txn, end)

/* What no site in walsender-only code shows. */
enum ws_blocked_on {
	WS_BLOCKED_NOTHING = 0,
	WS_BLOCKED_LOCK = 1,	     /* a heavyweight lock: another transaction, a relation */
	WS_BLOCKED_CLIENT_WRITE = 2, /* secure_write: the socket takes no more */
	WS_BLOCKED_CLIENT_READ = 3,  /* secure_read, in the middle of a message */
	WS_BLOCKED_THROTTLE = 4,     /* BASE_BACKUP sleeps for MAX_RATE */
	WS_BLOCKED_STOPPED = 5,	     /* SIGSTOP, or a debugger */
	WS_BLOCKED_SYNC_REP = 6,     /* waits for a synchronous standby itself */
	WS_BLOCKED_COPYDONE = 7,     /* spins, all sent, until the client's CopyDone comes */
	WS_BLOCKED_SUMMARY = 8,	     /* an incremental backup waits for WAL to be summarized */
};

/*
 * Sampled about ten times a second from the server's own wait_event_info and from the scheduler,
 * and told when it changes: begins with one of these records, ends with the next of the session, or
 * with any record the session itself makes.
 */
struct ws_rec_blocked {
	struct ws_rec h;  /* the session; no number of its sequence */
	__u32 on;	  /* enum ws_blocked_on */
	__u32 wait_event; /* PostgreSQL's wait_event_info; numbers differ by major */
	__u64 since_ns;	  /* it began behind this time; 0: not known, h.time_ns then */
	__u32 xid;	  /* LOCK: the transaction waited for, 0 if it is none or not known */
	__u32 holder_pid; /* LOCK: a process that holds it, 0: not known */
};

/* Of a transaction in a logical session's reorder buffer. */
enum ws_txn_flags {
	WS_TXN_SPILLED = 1 << 0, /* changes of it were written to disk */
	WS_TXN_STREAMED =
		1 << 1, /* changes of it were handed to the client while it was in progress */
	WS_TXN_OUTPUT =
		1 << 2, /* WS_KIND_DECODING: its end was decoded, the output plugin gets it */
	WS_TXN_KNOWN = 1 << 2,	  /* WS_KIND_TXN: first_lsn, changes, bytes and subtxns are known */
	WS_TXN_PREPARED = 1 << 3, /* it was handed out, and waits for COMMIT PREPARED */
	WS_TXN_SPILL_TOLD = 1 << 4, /* WS_KIND_TXN: spill_bytes and spill_ns are known */
};

/* SnapBuildState of snapbuild.h (10 to 18) plus two: what CREATE_REPLICATION_SLOT waits for. */
enum ws_snapshot {
	WS_SNAPSHOT_UNKNOWN = 0,
	WS_SNAPSHOT_START = 1,	    /* for a record of the transactions that run */
	WS_SNAPSHOT_BUILDING = 2,   /* for all that ran then to end */
	WS_SNAPSHOT_FULL = 3,	    /* for those that ran when these had ended */
	WS_SNAPSHOT_CONSISTENT = 4, /* for nothing */
};

/*
 * Of the LogicalDecodingContext, its ReorderBuffer and its slot; taken about once a second, if
 * something changed. Counters and times are since the stream began, or since tracing did: the
 * server sets its own to 0 whenever it has reported them (UpdateDecodingStats), and the programs
 * add up what it reports when it has spilled or streamed (14 and later). A transaction counts with
 * those subtransactions that are known to be its own.
 */
struct ws_rec_decoding {
	struct ws_rec h;     /* the session; no number of its sequence */
	__u64 read_lsn;	     /* end of the last record decoded: reader->EndRecPtr */
	__u64 restart_lsn;   /* of the slot */
	__u64 confirmed_lsn; /* likewise: confirmed_flush */
	__u64 buffer_bytes;  /* changes held in memory: ReorderBuffer.size */
	__u64 spill_txns, spill_count, spill_bytes;
	__u64 stream_txns, stream_count, stream_bytes;
	__u64 txn_spill_bytes; /* of the transaction below: written to disk since it began */
	__u64 reserved;
	__u32 catalog_xmin;  /* of the slot */
	__u32 valid;	     /* enum ws_decoding_valid */
	__u64 candidate_lsn; /* of the slot: restart_lsn as soon as enough is confirmed; 0: none */
	__u64 spill_ns;	     /* spent writing changes to disk */
	__u64 restore_ns;    /* and reading them back */
	__u64 oldest_lsn;    /* first record of the oldest transaction in the buffer; 0: none */
	/* The transaction that is handed to the output plugin, else the one with the most changes:
	 * 0 if there is none. */
	__u64 txn_first_lsn;
	__u64 txn_end_lsn; /* end of its commit record; 0: not decoded so far */
	__u64 txn_at_lsn;  /* the change of it the output plugin was given last; 0: none */
	__u64 txn_changes; /* with those of subtransactions */
	__u64 txn_bytes;   /* of it in memory */
	__u32 txn_xid;
	__u32 txn_flags; /* enum ws_txn_flags */
	__u32 oldest_xid;
	__u32 open_txns;  /* transactions in the buffer */
	__u32 snapshot;	  /* enum ws_snapshot */
	__u32 output_xid; /* whose change or commit the output plugin was given last; 0: none */
	/* Recordings of before have none of what follows. */
	__u32 txn_subtxns; /* subtransactions of the transaction above */
	__u32 reserved3;
};
#define WS_DECODING_SHORT_SIZE offsetof(struct ws_rec_decoding, txn_subtxns)

enum ws_decoding_valid {
	WS_DECODING_READ = 1 << 0,
	WS_DECODING_SLOT = 1 << 1, /* with candidate_lsn and catalog_xmin */
	WS_DECODING_BUFFER = 1 << 2,
	WS_DECODING_STATS = 1 << 3,	/* spill_* and stream_* */
	WS_DECODING_TIMES = 1 << 4,	/* spill_ns and restore_ns */
	WS_DECODING_TXNS = 1 << 5,	/* what is open: 13 and later */
	WS_DECODING_TXN_SPILL = 1 << 6, /* txn_spill_bytes */
};

enum ws_holder_what {
	WS_HELD_NOBODY = 0, /* any more */
	WS_HELD_PROCESS = 1,
	WS_HELD_PREPARED = 2, /* a prepared transaction: no process has it */
};

enum ws_holder_why {
	WS_HELD_SLOT = 0, /* all that recordings of before have */
	WS_HELD_AWAITED = 1,
};

/*
 * Whose transaction the oldest one in a logical session's reorder buffer is, as long as it runs:
 * the slot's restart_lsn does not pass its first record. Told when that one has been there for a
 * second, and when it is there no more. Also whose transaction it is that a session waits for the
 * end of, behind the record of that wait (BLOCKED).
 */
struct ws_rec_holder {
	struct ws_rec h; /* the session; no number of its sequence */
	__u64 first_lsn; /* of that transaction */
	__u64 since_ns;	 /* it began (PROCESS, 14 and later), or was prepared; 0: not known */
	__u32 xid;
	__u32 what;	  /* enum ws_holder_what */
	__u32 holder_pid; /* PROCESS */
	__u32 why;	  /* enum ws_holder_why */
	char user[WS_NAME_LEN];
	char database[WS_NAME_LEN];
	char application[WS_NAME_LEN];
	char gid[WS_NAME_LEN]; /* PREPARED: cut if longer */
};

#define WS_CGROUP_LEN 128

/* The control group with a CPU quota that the process is in, or is in one that is in it; told when
 * it is another, or its quota: quota_us of each period_us. What it kept from the process `sample`
 * says. */
struct ws_rec_cgroup {
	struct ws_rec h; /* the session; no number of its sequence */
	__u64 quota_us;
	__u64 period_us;
	char path[WS_CGROUP_LEN]; /* as in /proc/PID/cgroup, cut at the front if longer */
};

/* A COPY that a walsender runs as plain SQL (14 and later); told when it has come further. */
struct ws_rec_copy {
	struct ws_rec h; /* the session; no number of its sequence */
	__u64 rows;	 /* copied so far */
	__u64 bytes;	 /* of them, as they are sent: without the protocol's own */
};

#define WS_CONTEXTS	    8  /* names that are told */
#define WS_CONTEXT_NAME_LEN 48 /* longer names are cut */

enum ws_memory_valid {
	WS_MEMORY_BYTES = 1 << 0,    /* sizes: 13 and later */
	WS_MEMORY_REORDER = 1 << 1,  /* there is a reorder buffer, and its size is known */
	WS_MEMORY_WORK_MEM = 1 << 2, /* 13 and later */
	WS_MEMORY_IDENTS = 1 << 3,   /* 11 and later; not with --redact, as they may hold SQL */
};

/* flags of WS_KIND_MEMORY */
enum ws_memory_flags {
	WS_MEMORY_CUT = 1 << 0, /* there are more contexts than were looked at */
};

/*
 * The tree of memory contexts below TopMemoryContext (MemoryContextData): what each has taken from
 * malloc, free space in it included, as pg_backend_memory_contexts.total_bytes says. Contexts of
 * one name are told as one; of the names those that take most themselves, without the contexts in
 * them, or if sizes are not known those with most contexts. Taken about once a second, if something
 * changed; never of a tree that changed while it was read.
 */
struct ws_rec_memory {
	struct ws_rec h;	  /* the session; no number of its sequence */
	__u64 total_bytes;	  /* all */
	__u64 reorder_bytes;	  /* "ReorderBuffer" and what is in it: changes gathered */
	__u64 cache_bytes;	  /* "CacheMemoryContext" and what is in it: system caches */
	__u64 work_mem_bytes;	  /* logical_decoding_work_mem, which changes shall not exceed */
	__u32 contexts;		  /* how many, of all names */
	__u32 valid;		  /* enum ws_memory_valid */
	__u64 own[WS_CONTEXTS];	  /* without the contexts in them */
	__u64 whole[WS_CONTEXTS]; /* with them; those of the same name in one another once */
	__u32 counts[WS_CONTEXTS];
	char names[WS_CONTEXTS][WS_CONTEXT_NAME_LEN];	/* "": there are no more */
	char parents[WS_CONTEXTS][WS_CONTEXT_NAME_LEN]; /* what the largest of them is in */
	/* What tells the largest of them from others of its name (an index, a statement), cut; "":
	 * nothing does. */
	char idents[WS_CONTEXTS][WS_NAME_LEN];
};

enum ws_progress_valid {
	WS_PROGRESS_TOTAL = 1 << 0,
};

/* The phases of pg_stat_progress_basebackup (PROGRESS_BASEBACKUP_PHASE_*, commands/progress.h: the
 * same in 13 to 18). */
enum ws_progress_phase {
	WS_PROGRESS_INITIALIZING = 0,
	WS_PROGRESS_CHECKPOINT = 1,
	WS_PROGRESS_ESTIMATE = 2,
	WS_PROGRESS_STREAM = 3,
	WS_PROGRESS_WAIT_ARCHIVE = 4,
	WS_PROGRESS_WAL = 5,
	WS_PROGRESS_PHASES
};

/* What the server says of a BASE_BACKUP in pg_stat_progress_basebackup (PgBackendStatus, 13 and
 * later); taken about once a second, if something changed. */
struct ws_rec_progress {
	struct ws_rec h;      /* the session; no number of its sequence */
	__u64 total_bytes;    /* estimated; of --no-estimate-size not known */
	__u64 streamed_bytes; /* before any compression by the server */
	__u32 phase;	      /* enum ws_progress_phase */
	__u32 tablespaces;    /* to be streamed, 0 while that is not known */
	__u32 tablespaces_done;
	__u32 valid; /* enum ws_progress_valid */
};

enum ws_cluster_valid {
	WS_CLUSTER_STATE = 1 << 0,
	WS_CLUSTER_SYNC = 1 << 1,  /* sync_waiters and sync_walsenders */
	WS_CLUSTER_NAMES = 1 << 2, /* sync_names */
	WS_CLUSTER_FLUSH = 1 << 3,
	WS_CLUSTER_STANDBY_SLOT = 1 << 4, /* standby_slot and what follows it */
	WS_CLUSTER_SYNC_APPLY = 1 << 5,	  /* sync_apply: recordings of before have none */
	WS_CLUSTER_SYNC_WRITE = 1 << 6,	  /* sync_write: likewise */
	WS_CLUSTER_RECEIVED = 1 << 7,	  /* flush_lsn is a standby's: likewise */
};

/* What a standby's walreceiver does, by /proc. */
enum ws_walreceiver {
	WS_WALRECEIVER_UNKNOWN = 0,
	WS_WALRECEIVER_NONE = 1, /* there is none: nothing comes from an upstream */
	WS_WALRECEIVER_RUNS = 2,
	WS_WALRECEIVER_STOPPED = 3, /* SIGSTOP, or a debugger */
};

/* DBState of pg_control.h (10 to 18), plus one; 0 if it could not be read. */
enum ws_db_state {
	WS_DB_STARTUP = 1,
	WS_DB_SHUTDOWNED = 2,
	WS_DB_SHUTDOWNED_IN_RECOVERY = 3,
	WS_DB_SHUTDOWNING = 4,
	WS_DB_IN_CRASH_RECOVERY = 5,
	WS_DB_IN_ARCHIVE_RECOVERY = 6,
	WS_DB_IN_PRODUCTION = 7,
};

/* What is wrong with a slot that failover slots wait for (StandbySlotsHaveCaughtup, slot.c). */
enum ws_standby_why {
	WS_STANDBY_BEHIND = 0, /* nothing: it is only behind, if at all */
	WS_STANDBY_MISSING = 1,
	WS_STANDBY_LOGICAL = 2,
	WS_STANDBY_INVALID = 3,
	WS_STANDBY_INACTIVE = 4, /* nobody streams from it */
};

/* flags of WS_KIND_CLUSTER; recordings of before have none */
enum ws_cluster_flags {
	WS_CLUSTER_STOPPING = 1 << 0, /* its postmaster.pid says that it is shutting down */
};

#define WS_SYNC_NAMES_LEN 256

/* Taken about once a second of each server that is traced, if something changed. */
struct ws_rec_cluster {
	struct ws_rec h; /* h.pid: the postmaster, h.start_ns 0, h.server its number */
	__u64 flush_lsn; /* WAL flushed here; by a standby's walreceiver, also one that is gone */
	__u32 db_state;	 /* enum ws_db_state: of pg_control */
	__u32 sync_waiters;    /* backends that wait for synchronous replication */
	__u32 sync_walsenders; /* walsenders that match synchronous_standby_names */
	__u32 valid;	       /* enum ws_cluster_valid */
	__u32 walreceiver;     /* enum ws_walreceiver, of a server in archive recovery */
	__u32 sync_apply;      /* of sync_waiters those that wait for replay (remote_apply) */
	char sync_names[WS_SYNC_NAMES_LEN]; /* synchronous_standby_names, cut if longer */
	/* Of the slots in synchronized_standby_slots (17 and later) the one that is furthest
	 * behind. Recordings of before have no such fields. */
	__u64 standby_lsn; /* its restart_lsn: what its standby has confirmed; 0: none */
	__u32 standby_why; /* enum ws_standby_why */
	__u32 sync_write;  /* of sync_waiters those that wait for a write (remote_write) */
	char standby_slot[WS_NAME_LEN];
};
#define WS_CLUSTER_SHORT_SIZE offsetof(struct ws_rec_cluster, standby_lsn)

struct ws_rec_server {
	struct ws_rec h; /* h.pid: the postmaster, h.server: the number sessions refer to */
	__u32 major;
	__u32 layout; /* enum ws_layout_source */
	char version[32];
	char build_id[2 * 64 + 8]; /* hex */
	char file[256];		   /* cut at the front if longer */
	char datadir[256];
};

enum ws_gap_cause {
	WS_GAP_RING_FULL = 1,	  /* a hole in a session's sequence numbers */
	WS_GAP_SESSIONS_FULL = 2, /* the session map was full: whole sessions untracked */
	WS_GAP_EXIT_MISSED = 3,	  /* the process is gone, its exit record was not seen */
	WS_GAP_TORN = 4,	  /* part of a recording cannot be read (made by the reader) */
	WS_GAP_INVALID = 5,	  /* a record that fails validation was dropped */
	WS_GAP_UNWRITTEN = 6,	  /* the recording could not be written: its disk was full */
	WS_GAP_UNRECORDED = 7,	  /* nobody recorded: between two runs of a flight recorder (made
				     by the reader); of a session: it was gone behind that */
};

struct ws_rec_gap {
	struct ws_rec h; /* the session, or no session */
	__u64 from_ns;	 /* the missing records lie between these times */
	__u64 to_ns;
	__u64 lost;  /* how many, 0 if not known */
	__u32 cause; /* enum ws_gap_cause */
	__u32 reserved;
};

struct ws_rec_clock {
	struct ws_rec h; /* h.time_ns: monotonic */
	__s64 wall_ns;	 /* CLOCK_REALTIME at the same moment */
	__u64 boot_ns;	 /* CLOCK_BOOTTIME at the same moment */
};

#define WS_STOP_KINDS 32 /* room for kinds 0 to 31 */

struct ws_rec_stop {
	struct ws_rec h;
	__u64 produced; /* records made in the kernel */
	__u64 lost;	/* of which the ring buffer had no room for */
	/* By kind, those the collector makes in place of the programs (walsenders found running)
	 * included: made = lost + filtered + handed on. Recordings of before have no such fields.
	 */
	__u64 made_of[WS_STOP_KINDS];
	__u64 lost_of[WS_STOP_KINDS];
	__u64 filtered_of[WS_STOP_KINDS]; /* of sessions that nobody wanted */
};
#define WS_STOP_SHORT_SIZE offsetof(struct ws_rec_stop, made_of)

/* Text of a note: NUL-terminated, the size of the record says how long. */
struct ws_rec_note {
	struct ws_rec h;
	char text[];
};

#define WS_REC_SIZE_MAX 32768

#ifndef __bpf__
_Static_assert(sizeof(struct ws_rec) == 32, "wire format");
_Static_assert(sizeof(struct ws_rec_session) == 72 + 5 * 64, "wire format");
_Static_assert(sizeof(struct ws_rec_text) == 48, "wire format");
_Static_assert(offsetof(struct ws_rec_error, file) == 64, "wire format");
_Static_assert(sizeof(struct ws_rec_stream) == 104, "wire format");
_Static_assert(offsetof(struct ws_rec_turn, stage_ns) == 56, "wire format");
_Static_assert(offsetof(struct ws_rec_turn, write_lsn) == 168, "wire format");
_Static_assert(sizeof(struct ws_rec_turn) == 224, "wire format");
_Static_assert(sizeof(struct ws_rec_backup) == 56, "wire format");
_Static_assert(sizeof(struct ws_rec_off_cpu) == 96, "wire format");
_Static_assert(sizeof(struct ws_rec_gap) == 64, "wire format");
_Static_assert(sizeof(struct ws_rec_exit) == 64, "wire format");
_Static_assert(sizeof(struct ws_rec_text_sum) == 120, "wire format");
_Static_assert(sizeof(struct ws_rec_signal) == 72, "wire format");
_Static_assert(WS_SOCKET_SHORT_SIZE == 72, "wire format");
_Static_assert(sizeof(struct ws_rec_socket) == 152, "wire format");
_Static_assert(WS_SAMPLE_SHORT_SIZE == 104, "wire format");
_Static_assert(sizeof(struct ws_rec_sample) == 112, "wire format");
_Static_assert(sizeof(struct ws_rec_blocked) == 56, "wire format");
_Static_assert(WS_DECODING_SHORT_SIZE == 232, "wire format");
_Static_assert(sizeof(struct ws_rec_decoding) == 240, "wire format");
_Static_assert(WS_TXN_SHORT_SIZE == 96, "wire format");
_Static_assert(sizeof(struct ws_rec_txn) == 120, "wire format");
_Static_assert(sizeof(struct ws_rec_holder) == 64 + 4 * WS_NAME_LEN, "wire format");
_Static_assert(sizeof(struct ws_rec_cgroup) == 48 + WS_CGROUP_LEN, "wire format");
_Static_assert(sizeof(struct ws_rec_progress) == 64, "wire format");
_Static_assert(sizeof(struct ws_rec_copy) == 48, "wire format");
_Static_assert(sizeof(struct ws_rec_memory) ==
		       72 + WS_CONTEXTS * (20 + 2 * WS_CONTEXT_NAME_LEN + WS_NAME_LEN),
	       "wire format");
_Static_assert(WS_CLUSTER_SHORT_SIZE == 64 + WS_SYNC_NAMES_LEN, "wire format");
_Static_assert(sizeof(struct ws_rec_cluster) == WS_CLUSTER_SHORT_SIZE + 16 + WS_NAME_LEN,
	       "wire format");
_Static_assert(WS_KIND_KERNEL_LAST < WS_STOP_KINDS, "wire format");
_Static_assert(sizeof(struct ws_rec_stop) == 48 + 3 * WS_STOP_KINDS * 8, "wire format");
#endif

#endif
