/* SPDX-License-Identifier: BSD-2-Clause */
/* Which of the servers a user means who names a data directory or an executable. */
#include <string.h>
#include <sys/stat.h>

#include "target/proc.h"

bool ws_postmaster_has_datadir(const struct ws_postmaster *postmaster, const char *path)
{
	struct stat st;

	if (postmaster->data_ino && !stat(path, &st))
		return st.st_dev == postmaster->data_dev && st.st_ino == postmaster->data_ino;
	return strcmp(path, postmaster->datadir) == 0;
}

bool ws_postmaster_runs(const struct ws_postmaster *postmaster, const char *path)
{
	struct stat st;

	if (postmaster->ino && !stat(path, &st) && st.st_dev == postmaster->dev &&
	    st.st_ino == postmaster->ino)
		return true;
	return (postmaster->exe_deleted || !postmaster->ino) && !postmaster->own_mounts &&
	       strcmp(path, postmaster->exe) == 0;
}
