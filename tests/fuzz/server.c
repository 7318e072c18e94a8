/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A walsender in miniature, made into the seeds of elf_fuzz in several ways: the names, calls,
 * strings and structures that walscope looks for in a server, and nothing that works.
 */
#define API __attribute__((noinline, visibility("default")))
#define OWN static __attribute__((noinline))

typedef unsigned long XLogRecPtr;
typedef struct nameData {
	char data[64];
} NameData;
typedef struct WalSnd {
	int pid, state;
	XLogRecPtr sentPtr;
	char needreload;
	XLogRecPtr write, flush, apply;
	long writeLag, flushLag, applyLag;
} WalSnd;
typedef struct ReplicationSlot {
	int lock, active_pid;
	struct {
		NameData name;
		unsigned int database;
		XLogRecPtr restart_lsn;
	} data;
} ReplicationSlot;
typedef struct Port {
	int sock;
	char *remote_host, *remote_port, *database_name, *user_name, *application_name;
} Port;
typedef struct ErrorData {
	int elevel;
	const char *filename;
	int lineno;
	const char *funcname;
	int sqlerrcode;
	char *message;
} ErrorData;
typedef struct PQcommMethods {
	void (*comm_reset)(void);
	int (*flush)(void);
	int (*flush_if_writable)(void);
} PQcommMethods;

const char version_str[] = "PostgreSQL 15.18 on an unknown machine, compiled by a compiler, 64-bit";

volatile int sink;
int am_walsender, wal_sender_timeout, whereToSendOutput, MyProcPid;
API Port *MyProcPort;
API WalSnd *MyWalSnd;
API ReplicationSlot *MyReplicationSlot;
API ErrorData error_data[5];
static PQcommMethods methods;
API PQcommMethods *volatile PqCommMethods = &methods;

API int errstart(int level)
{
	return sink + level;
}

API void errmsg(const char *text)
{
	sink += *text;
}

API void errfinish(const char *file, int line, const char *function)
{
	sink += line + *file + *function;
}

#define REPORT()                                                                              \
	do {                                                                                  \
		if (errstart(1)) {                                                            \
			errmsg("x");                                                          \
			errfinish("./build/../src/backend/replication/walsender.c", __LINE__, \
				  __func__);                                                  \
		}                                                                             \
	} while (0)

API void ModifyWaitEvent(void)
{
	sink++;
}

API int WaitEventSetWait(long timeout)
{
	return sink + (int)timeout;
}

API void proc_exit(int code)
{
	for (;;)
		sink += code;
}

API long GetCurrentTimestamp(void)
{
	return sink;
}

API void resetStringInfo(void)
{
	sink++;
}

API void enlargeStringInfo(void)
{
	sink--;
}

API void InitWalSender(void)
{
	sink += 3;
}

API int WALRead(char *to, XLogRecPtr from)
{
	return sink + *to + (int)from;
}

API void WalSndErrorCleanup(void)
{
	sink += 5;
}

API void EmitErrorReport(void)
{
	sink += error_data[0].lineno;
}

API void WalSndSetState(int state)
{
	MyWalSnd->state = state;
}

OWN void WalSndShutdown(void)
{
	whereToSendOutput = 0;
	proc_exit(0);
}

OWN void WalSndWait(unsigned int events, long timeout, unsigned int wait_event)
{
	ModifyWaitEvent();
	sink += (int)(events + wait_event);
	if (WaitEventSetWait(timeout) == 1)
		proc_exit(1);
}

OWN void WalSndKeepalive(int reply, XLogRecPtr at)
{
	REPORT();
	resetStringInfo();
	enlargeStringInfo();
	sink = (int)GetCurrentTimestamp() + reply + (int)at;
	PqCommMethods->comm_reset();
}

OWN void WalSndKeepaliveIfNecessary(void)
{
	if (wal_sender_timeout <= 0)
		return;
	WalSndKeepalive(1, 0);
	PqCommMethods->flush_if_writable();
	if (sink)
		WalSndShutdown();
}

static inline __attribute__((always_inline)) void WalSndCheckTimeOut(void)
{
	if (sink > wal_sender_timeout)
		WalSndShutdown();
}

OWN void ProcessRepliesIfAny(void)
{
	REPORT();
	switch (sink) {
	case 1:
		sink = 5;
		break;
	case 2:
		sink = 7;
		break;
	case 3:
		WalSndKeepalive(0, 1);
		break;
	case 4:
		WalSndSetState(3);
		break;
	case 5:
		sink = 1;
		break;
	}
}

OWN void XLogSendPhysical(void)
{
	char page[64] = { 0 };

	if (!WALRead(page, MyWalSnd->sentPtr))
		REPORT();
	MyWalSnd->sentPtr += 64;
}

OWN void XLogSendLogical(void)
{
	REPORT();
	MyWalSnd->sentPtr += (unsigned long)MyReplicationSlot->active_pid;
}

OWN void WalSndLoop(void (*send_data)(void))
{
	for (;;) {
		ProcessRepliesIfAny();
		send_data();
		if (PqCommMethods->flush_if_writable() != 0)
			WalSndShutdown();
		WalSndCheckTimeOut();
		WalSndKeepaliveIfNecessary();
		WalSndWait(1, 2, 3);
	}
}

API int exec_replication_command(const char *text)
{
	REPORT();
	if (*text == 'p')
		WalSndLoop(XLogSendPhysical);
	else if (*text == 'l')
		WalSndLoop(XLogSendLogical);
	return sink;
}

API void exec_simple_query(const char *text)
{
	sink += *text;
}

API void PostgresMain(const char *dbname, const char *username)
{
	sink += *dbname + *username + *MyProcPort->user_name;
	if (am_walsender) {
		InitWalSender();
		if (!exec_replication_command(dbname))
			exec_simple_query(dbname);
	}
	WalSndErrorCleanup();
	EmitErrorReport();
}

int main(int argc, char **argv)
{
	PostgresMain(argv[0], version_str + argc);
	return 0;
}
