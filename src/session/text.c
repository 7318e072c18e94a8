/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <string.h>

#include "base/util.h"
#include "session/machine.h"

static void shrink_hole(struct ws_assembly *text, size_t from, size_t to)
{
	if (text->hole_from == text->hole_to || from > text->hole_from || to <= text->hole_from)
		return;
	text->hole_from = to < text->hole_to ? to : text->hole_to;
}

/* Bytes up to `to` are missing. A second hole is made one with the first: what lies between is not
 * worth the bookkeeping, since a text is shown up to its first missing byte. */
static int open_hole(struct ws_assembly *text, size_t to)
{
	size_t len = text->buf.len;

	if (ws_buf_reserve(&text->buf, to - len))
		return -1;
	if (text->hole_from == text->hole_to)
		text->hole_from = len;
	text->hole_to = to;
	memset(text->buf.data + len, 0, to - len);
	text->buf.len = to;
	return 0;
}

int ws_assembly_add(struct ws_assembly *text, const struct ws_rec_text *chunk)
{
	size_t offset = chunk->offset, len = chunk->len, end;

	if (offset > WS_TEXT_MAX || len > WS_TEXT_MAX - offset) {
		text->cut = true;
		len = offset > WS_TEXT_MAX ? 0 : WS_TEXT_MAX - offset;
		offset = offset > WS_TEXT_MAX ? WS_TEXT_MAX : offset;
	}
	end = offset + len;
	if (offset > text->buf.len && open_hole(text, offset))
		return -1;
	if (end > text->buf.len || !text->buf.data) {
		if (ws_buf_reserve(&text->buf, end - text->buf.len))
			return -1;
		text->buf.len = end;
		text->buf.data[end] = '\0';
	}
	if (len)
		memcpy(text->buf.data + offset, chunk->data, len);
	shrink_hole(text, offset, end);
	if (chunk->h.flags & (WS_TEXT_TRUNCATED | WS_TEXT_UNREADABLE))
		text->cut = true;
	if (chunk->h.flags & WS_TEXT_LAST)
		text->done = true;
	if (len || !(chunk->h.flags & WS_TEXT_UNREADABLE))
		text->any = true;
	return 0;
}

void ws_assembly_sum(struct ws_assembly *text, const struct ws_rec_text_sum *rec)
{
	text->sum.has_bytes = true;
	text->sum.bytes = rec->len;
	text->sum.has_hash = rec->h.flags & WS_TEXT_SUM_HASH;
	text->sum.xxh64 = text->sum.has_hash ? rec->hash : 0;
}

bool ws_assembly_finish(struct ws_assembly *text)
{
	bool hole = text->hole_from != text->hole_to;

	if (hole) {
		text->buf.len = text->hole_from;
		text->buf.data[text->buf.len] = '\0';
		text->any = text->buf.len != 0;
		text->hole_to = text->hole_from;
		text->cut = true;
	}
	if (!text->done && text->any)
		text->cut = true;
	if (text->cut && text->any && text->buf.len) {
		text->buf.len = ws_text_utf8_whole(text->buf.data, text->buf.len);
		text->buf.data[text->buf.len] = '\0';
	} else if (!text->cut && text->any) {
		text->sum = (struct ws_text_sum){ .has_bytes = true, .bytes = text->buf.len };
	}
	return text->cut;
}

/* Keeps what a usual command needs and gives back the rest. */
#define KEEP_BYTES 16384

void ws_assembly_clear(struct ws_assembly *text)
{
	struct ws_buf buf = text->buf;

	if (buf.cap > KEEP_BYTES)
		ws_buf_deinit(&buf);
	else
		ws_buf_clear(&buf);
	*text = (struct ws_assembly){ .buf = buf };
}

void ws_assembly_deinit(struct ws_assembly *text)
{
	ws_buf_deinit(&text->buf);
	*text = (struct ws_assembly){ 0 };
}

/* The tokens of repl_scanner.l that are looked for here. */
enum token { TOKEN_END, TOKEN_WORD, TOKEN_QUOTED, TOKEN_OTHER };

struct scanner {
	const char *at, *end;
	char value[WS_NAME_LEN]; /* cut as PostgreSQL cuts identifiers */
};

static bool is_word(char c, bool first)
{
	unsigned char u = (unsigned char)c;

	return isalpha(u) || c == '_' || u >= 0x80 || (!first && (isdigit(u) || c == '$'));
}

static void append(struct scanner *s, size_t *len, char c)
{
	if (*len + 1 < sizeof(s->value))
		s->value[(*len)++] = c;
	s->value[*len] = '\0';
}

static enum token next_token(struct scanner *s)
{
	size_t len = 0;

	s->value[0] = '\0';
	while (s->at < s->end && strchr(" \t\n\r\f", *s->at) && *s->at)
		s->at++;
	if (s->at == s->end)
		return TOKEN_END;
	if (*s->at == '"') {
		for (s->at++; s->at < s->end; s->at++) {
			if (*s->at == '"' && (++s->at == s->end || *s->at != '"'))
				return TOKEN_QUOTED;
			append(s, &len, *s->at);
		}
		return TOKEN_END; /* not terminated */
	}
	if (!is_word(*s->at, true)) {
		s->at++;
		return TOKEN_OTHER;
	}
	while (s->at < s->end && is_word(*s->at, len == 0))
		append(s, &len, *s->at++);
	return TOKEN_WORD;
}

/* An identifier: unquoted ones are folded to lower case (downcase_truncate_identifier). */
static void copy_name(const struct scanner *s, enum token token, char out[WS_NAME_LEN])
{
	if (token != TOKEN_WORD && token != TOKEN_QUOTED)
		return;
	for (size_t i = 0; i < WS_NAME_LEN; i++)
		out[i] = token == TOKEN_WORD ? (char)tolower((unsigned char)s->value[i])
					     : s->value[i];
}

/* replication_scanner_is_replication_command (repl_scanner.l) of 15 to 18; before 15 the grammar
 * takes the same for SQL. ALTER_REPLICATION_SLOT and UPLOAD_MANIFEST are of 17. */
static bool is_replication_keyword(const char *word)
{
	static const char *const keywords[] = {
		"IDENTIFY_SYSTEM",	   "BASE_BACKUP",	    "START_REPLICATION",
		"CREATE_REPLICATION_SLOT", "DROP_REPLICATION_SLOT", "ALTER_REPLICATION_SLOT",
		"READ_REPLICATION_SLOT",   "TIMELINE_HISTORY",	    "SHOW",
		"UPLOAD_MANIFEST",
	};

	for (size_t i = 0; i < WS_ARRAY_SIZE(keywords); i++)
		if (!strcmp(word, keywords[i]))
			return true;
	return false;
}

/* Replication keywords are case-sensitive in repl_scanner.l: "start_replication" is SQL. */
void ws_parse_command(const char *text, size_t len, struct ws_parsed *parsed)
{
	struct scanner s = { .at = text, .end = text + len };
	enum token token = next_token(&s);
	bool start, create;

	*parsed = (struct ws_parsed){ 0 };
	if (token != TOKEN_WORD)
		return;
	parsed->replication = is_replication_keyword(s.value);
	start = !strcmp(s.value, "START_REPLICATION");
	create = !strcmp(s.value, "CREATE_REPLICATION_SLOT");
	for (size_t i = 0; s.value[i] && i + 1 < sizeof(parsed->keyword); i++)
		parsed->keyword[i] = (char)toupper((unsigned char)s.value[i]);
	if (!strcmp(s.value, "BASE_BACKUP"))
		parsed->kind = WS_SESSION_KIND_BACKUP;
	if (!start && !create)
		return;
	token = next_token(&s);
	if (start && token == TOKEN_WORD && !strcmp(s.value, "SLOT")) {
		token = next_token(&s);
		copy_name(&s, token, parsed->slot);
		token = next_token(&s);
	} else if (create) {
		copy_name(&s, token, parsed->slot);
		token = next_token(&s);
		if (token == TOKEN_WORD && !strcmp(s.value, "TEMPORARY"))
			token = next_token(&s);
	}
	parsed->kind = token == TOKEN_WORD && !strcmp(s.value, "LOGICAL")
			       ? WS_SESSION_KIND_LOGICAL
			       : WS_SESSION_KIND_PHYSICAL;
}
