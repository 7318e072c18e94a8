/* SPDX-License-Identifier: BSD-2-Clause */
#include "import/inputs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD 512 /* bytes in which the time of the first entry stands */

/* A row begins with it, and so does the object of a jsonlog (elog.c, write_csvlog and
 * write_jsonlog; csvlog.c and jsonlog.c from 15 on). */
static void find_stamp(struct ws_import_input *input)
{
	static const char shape[] = "dddd-dd-dd dd:dd:dd.ddd", key[] = "{\"timestamp\":\"";
	char head[HEAD + 1];
	const char *at = head;
	struct stat st;
	ssize_t n;

	if (fstat(fileno(input->in), &st) || !S_ISREG(st.st_mode))
		return;
	n = pread(fileno(input->in), head, HEAD, 0);
	head[n > 0 ? n : 0] = '\0';
	if (strncmp(at, key, strlen(key)) == 0)
		at += strlen(key);
	for (size_t i = 0; shape[i]; i++)
		if (shape[i] == 'd' ? at[i] < '0' || at[i] > '9' : at[i] != shape[i])
			return;
	memcpy(input->stamp, at, WS_IMPORT_STAMP - 1);
}

/* By insertion: those of the same moment stay as they were. */
static void sort(struct ws_import_inputs *inputs)
{
	for (size_t i = 0; i < inputs->count; i++)
		if (!inputs->list[i].stamp[0])
			return;
	for (size_t i = 1; i < inputs->count; i++) {
		struct ws_import_input this = inputs->list[i];
		size_t at = i;

		for (; at && strcmp(inputs->list[at - 1].stamp, this.stamp) > 0; at--)
			inputs->list[at] = inputs->list[at - 1];
		inputs->list[at] = this;
	}
}

int ws_import_inputs_open(struct ws_import_inputs *inputs, const char *const *names, size_t count,
			  struct ws_error *err)
{
	*inputs = (struct ws_import_inputs){ .list = calloc(count + 1, sizeof(*inputs->list)) };
	if (!inputs->list)
		return ws_error_errno(err, ENOMEM, "cannot import", names[0]);
	for (size_t i = 0; i < count; i++) {
		struct ws_import_input *input = &inputs->list[i];

		input->name = names[i];
		input->in = strcmp(names[i], "-") == 0 ? fdopen(dup(STDIN_FILENO), "r")
						       : fopen(names[i], "re");
		if (!input->in)
			return ws_error_errno(err, errno, "cannot read", names[i]);
		inputs->count++;
		find_stamp(input);
	}
	sort(inputs);
	return 0;
}

void ws_import_inputs_close(struct ws_import_inputs *inputs)
{
	for (size_t i = 0; i < inputs->count; i++)
		fclose(inputs->list[i].in);
	free(inputs->list);
	*inputs = (struct ws_import_inputs){ 0 };
}
