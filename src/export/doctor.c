/* SPDX-License-Identifier: BSD-2-Clause */
#include "export/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"

int ws_problem_add(struct ws_problem_list *list, const char *fix, const char *what, ...)
{
	struct ws_problem *problem =
		ws_array_grow(&list->items, &list->count, &list->cap, sizeof(*problem));
	va_list ap;

	if (!problem)
		return -1;
	snprintf(problem->fix, sizeof(problem->fix), "%s", fix ? fix : "");
	va_start(ap, what);
	vsnprintf(problem->what, sizeof(problem->what), what, ap);
	va_end(ap);
	return 0;
}

int ws_problem_add_error(struct ws_problem_list *list, const struct ws_error *err, const char *fix)
{
	return ws_problem_add(list, err->fix[0] ? err->fix : fix, "%s%s%s%s%s", err->what,
			      err->where[0] ? ": " : "", err->where, err->why[0] ? ": " : "",
			      err->why);
}

void ws_doctor_deinit(struct ws_doctor *doctor)
{
	for (size_t i = 0; i < doctor->server_count; i++) {
		struct ws_doctor_server *server = &doctor->servers[i];

		ws_symbol_set_deinit(&server->symbols);
		ws_plan_deinit(&server->plan);
		free(server->processes);
		free(server->problems.items);
	}
	for (size_t i = 0; i < doctor->live.note_count; i++)
		free(doctor->live.notes[i]);
	free(doctor->live.notes);
	free(doctor->servers);
	free(doctor->problems.items);
	*doctor = (struct ws_doctor){ 0 };
}
