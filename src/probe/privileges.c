/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe/privileges.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/util.h"
#include "probe/kernel.h"

static const struct {
	const char *name, *purpose;
	cap_value_t cap, includes; /* `includes` does as well */
} rows[WS_PRIVILEGE_COUNT] = {
	[WS_PRIVILEGE_BPF] = { "CAP_BPF", "to load the programs", CAP_BPF, CAP_SYS_ADMIN },
	[WS_PRIVILEGE_PERFMON] = { "CAP_PERFMON", "to plant probes and to read memory in them",
				   CAP_PERFMON, CAP_SYS_ADMIN },
	[WS_PRIVILEGE_SYS_PTRACE] = { "CAP_SYS_PTRACE",
				      "to find servers of other users and to read what they do",
				      CAP_SYS_PTRACE, CAP_SYS_PTRACE },
	[WS_PRIVILEGE_DAC_READ_SEARCH] = { "CAP_DAC_READ_SEARCH",
					   "to read postmaster.pid in other users' data "
					   "directories",
					   CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE },
	[WS_PRIVILEGE_SYS_ADMIN] = { "CAP_SYS_ADMIN",
				     "for perf events on executables, which this kernel does not "
				     "give "
				     "for CAP_PERFMON",
				     CAP_SYS_ADMIN, CAP_SYS_ADMIN },
};

static int read_sysctl(const char *path)
{
	ws_autofclose FILE *file = fopen(path, "re");
	int value;

	return file && fscanf(file, "%d", &value) == 1 ? value : WS_SYSCTL_UNKNOWN;
}

static bool is_set(cap_t caps, cap_flag_t flag, cap_value_t cap)
{
	cap_flag_value_t value = CAP_CLEAR;

	return caps && cap_get_flag(caps, cap, flag, &value) == 0 && value == CAP_SET;
}

/*
 * Do perf events of uprobes take CAP_SYS_ADMIN? From 6.16 on, and in the stable kernels since
 * (ba677dbe77af), and with Debian's patch where kernel.perf_event_paranoid is above 2. Tried, with
 * CAP_SYS_ADMIN put aside for the moment.
 */
static bool perf_takes_admin(cap_t now)
{
	const cap_value_t admin = CAP_SYS_ADMIN;
	cap_t trial = cap_dup(now);
	int errnum = 0;

	if (trial && is_set(now, CAP_EFFECTIVE, CAP_PERFMON) &&
	    cap_set_flag(trial, CAP_EFFECTIVE, 1, &admin, CAP_CLEAR) == 0 &&
	    cap_set_proc(trial) == 0) {
		errnum = ws_kernel_try_uprobe_perf();
		cap_set_proc(now);
	}
	cap_free(trial);
	return errnum == EACCES || errnum == EPERM;
}

void ws_privileges_read(bool others, bool perf, struct ws_privileges *p)
{
	const bool need[WS_PRIVILEGE_COUNT] = { true, true, others, others, false };
	cap_t caps = cap_get_proc();
	ssize_t n;

	*p = (struct ws_privileges){
		.root = geteuid() == 0,
		.perf_event_paranoid = read_sysctl("/proc/sys/kernel/perf_event_paranoid"),
		.ptrace_scope = read_sysctl("/proc/sys/kernel/yama/ptrace_scope"),
	};
	n = readlink("/proc/self/exe", p->file, sizeof(p->file));
	/* A path that does not fit is better left to the reader than cut. */
	if (n <= 0 || (size_t)n == sizeof(p->file))
		n = snprintf(p->file, sizeof(p->file), "walscope");
	p->file[n] = '\0';
	for (int i = 0; i < WS_PRIVILEGE_COUNT; i++)
		p->list[i] = (struct ws_privilege){
			.name = rows[i].name,
			.purpose = rows[i].purpose,
			.have = is_set(caps, CAP_EFFECTIVE, rows[i].cap) ||
				is_set(caps, CAP_EFFECTIVE, rows[i].includes),
			.need = need[i],
		};
	/* Yama lets only parents read the memory of a process, be it of the same user. */
	p->list[WS_PRIVILEGE_SYS_PTRACE].need |= p->ptrace_scope > 0;
	p->list[WS_PRIVILEGE_SYS_ADMIN].need = perf && caps && perf_takes_admin(caps);
	cap_free(caps);
}

unsigned int ws_privileges_missing(const struct ws_privileges *p, char text[WS_PRIVILEGES_TEXT])
{
	unsigned int left = 0, count;
	size_t len = 0;

	for (int i = 0; i < WS_PRIVILEGE_COUNT; i++)
		left += p->list[i].need && !p->list[i].have;
	count = left;
	text[0] = '\0';
	for (int i = 0; i < WS_PRIVILEGE_COUNT; i++) {
		if (!p->list[i].need || p->list[i].have)
			continue;
		left--;
		len += (size_t)snprintf(text + len, WS_PRIVILEGES_TEXT - len, "%s%s",
					p->list[i].name, left > 1 ? ", " : (left ? " and " : ""));
	}
	return count;
}

/* All that is ever needed here; what only another user's server takes is among it. */
static bool is_wanted(const struct ws_privileges *p, int i)
{
	return i != WS_PRIVILEGE_SYS_ADMIN || p->list[i].need;
}

void ws_privileges_setcap(const struct ws_privileges *p, char text[WS_PRIVILEGES_FIX])
{
	size_t len = (size_t)snprintf(text, WS_PRIVILEGES_FIX, "setcap ");
	const char *separator = "";

	for (int i = 0; i < WS_PRIVILEGE_COUNT; i++) {
		if (!is_wanted(p, i))
			continue;
		len += (size_t)snprintf(text + len, WS_PRIVILEGES_FIX - len, "%s", separator);
		separator = ",";
		for (const char *c = rows[i].name; *c; c++)
			text[len++] = (char)tolower((unsigned char)*c);
	}
	snprintf(text + len, WS_PRIVILEGES_FIX - len, "=ep %s", p->file);
}

void ws_privileges_ambient(const struct ws_privileges *p, char text[WS_PRIVILEGES_FIX])
{
	size_t len = (size_t)snprintf(text, WS_PRIVILEGES_FIX, "AmbientCapabilities=");
	const char *separator = "";

	for (int i = 0; i < WS_PRIVILEGE_COUNT; i++) {
		if (!is_wanted(p, i))
			continue;
		len += (size_t)snprintf(text + len, WS_PRIVILEGES_FIX - len, "%s%s", separator,
					rows[i].name);
		separator = " ";
	}
}

void ws_privileges_fix(const struct ws_privileges *p, char text[WS_PRIVILEGES_FIX])
{
	char missing[WS_PRIVILEGES_TEXT];

	if (!p->root) {
		ws_privileges_setcap(p, text);
		return;
	}
	ws_privileges_missing(p, missing);
	snprintf(text, WS_PRIVILEGES_FIX,
		 "give %s to the container or unit that root is confined by (docker run --cap-add, "
		 "CapabilityBoundingSet=)",
		 missing);
}

int ws_privileges_check(const struct ws_privileges *p, struct ws_error *err)
{
	char missing[WS_PRIVILEGES_TEXT], fix[WS_PRIVILEGES_FIX], why[256] = "";
	unsigned int count = ws_privileges_missing(p, missing);
	size_t len = 0;

	if (!count)
		return 0;
	for (int i = 0; i < WS_PRIVILEGE_COUNT && len < sizeof(why); i++)
		if (p->list[i].need && !p->list[i].have)
			len += (size_t)snprintf(why + len, sizeof(why) - len, "%s%s",
						len ? ", " : "", p->list[i].purpose);
	ws_error_set(err, "cannot trace", NULL, "%s %s missing (%s)", missing,
		     count > 1 ? "are" : "is", why);
	ws_privileges_fix(p, fix);
	return ws_error_fix(err, "run as root, or: %.200s", fix);
}

/* The capabilities that stay: of those that are permitted, what following new servers takes. */
static cap_t remaining(cap_t now, bool follow, bool perf)
{
	struct ws_privileges p;
	cap_t caps = cap_init();
	bool bare =
		!is_set(now, CAP_PERMITTED, CAP_BPF) || !is_set(now, CAP_PERMITTED, CAP_PERFMON);

	if (!caps)
		return caps;
	ws_privileges_read(true, perf, &p);
	for (int i = 0; i < WS_PRIVILEGE_COUNT; i++) {
		cap_value_t cap = rows[i].cap;

		if (!follow && i != WS_PRIVILEGE_SYS_PTRACE)
			continue;
		/* Where CAP_SYS_ADMIN stands in for what is not there, it has to stay. */
		if (i == WS_PRIVILEGE_SYS_ADMIN && !p.list[i].need && !bare)
			continue;
		if (!is_set(now, CAP_PERMITTED, cap))
			cap = i == WS_PRIVILEGE_DAC_READ_SEARCH ? rows[i].includes : cap;
		if (!is_set(now, CAP_PERMITTED, cap))
			continue;
		cap_set_flag(caps, CAP_PERMITTED, 1, &cap, CAP_SET);
		cap_set_flag(caps, CAP_EFFECTIVE, 1, &cap, CAP_SET);
	}
	return caps;
}

/* Only what is permitted is given up for good: the rest could be had again. */
static bool try_without(cap_t now, bool (*works)(const void *arg), const void *arg)
{
	cap_t trial = cap_dup(now);
	bool good;

	if (!trial)
		return false;
	good = cap_clear_flag(trial, CAP_EFFECTIVE) == 0 && cap_set_proc(trial) == 0 && works(arg);
	cap_free(trial);
	cap_set_proc(now);
	return good;
}

static int give_up_bounding(cap_t now, cap_t keep)
{
	int rc = 0;

	/* Without CAP_SETPCAP it stays; no_new_privs makes it meaningless. */
	if (!is_set(now, CAP_EFFECTIVE, CAP_SETPCAP))
		return 0;
	for (cap_value_t cap = 0; cap < cap_max_bits(); cap++)
		if (!is_set(keep, CAP_PERMITTED, cap) && cap_get_bound(cap) == 1 &&
		    cap_drop_bound(cap))
			rc = -1;
	return rc;
}

int ws_privileges_drop(bool follow, bool perf, bool (*works)(const void *arg), const void *arg,
		       struct ws_error *err)
{
	cap_t now = cap_get_proc(), keep = now ? remaining(now, follow, perf) : NULL;
	const cap_value_t bpf = CAP_BPF;
	int rc = keep ? 0 : -1;

	if (keep && !follow && is_set(now, CAP_PERMITTED, bpf) && !try_without(now, works, arg)) {
		cap_set_flag(keep, CAP_PERMITTED, 1, &bpf, CAP_SET);
		cap_set_flag(keep, CAP_EFFECTIVE, 1, &bpf, CAP_SET);
	}
	if (keep && (give_up_bounding(now, keep) || cap_reset_ambient() || cap_set_proc(keep)))
		rc = -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		rc = -1;
	if (rc)
		ws_error_errno(err, errno, "cannot give up privileges", NULL);
	cap_free(keep);
	cap_free(now);
	return rc;
}
