/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps.h: the maps all objects share. The host object creates them, the server objects are given
 * them.
 */
#ifndef WS_MAPS_H
#define WS_MAPS_H

#include "kernel.h"
#include "config.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 * 1024 * 1024);
} rb SEC(".maps");

/* Preallocated: no allocation in a program, and a full map is a counted event. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WS_SESSIONS_MAX);
	__type(key, __u32);
	__type(value, struct ws_entry);
} sessions SEC(".maps");

/* User space writes to it in place, while programs do. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ws_watched);
} watched SEC(".maps");

/* Preallocated. The programs of as many processes can measure at a time; of one more process's text
 * the length stays unknown. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WS_SCRATCH_MAX);
	__type(key, __u32);
	__type(value, struct ws_scratch);
} scratch SEC(".maps");

struct ws_counters {
	__u64 value[WS_COUNTER_COUNT];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ws_counters);
} counters SEC(".maps");

/* Unread bytes at which the consumer is woken; set before loading. */
const volatile __u64 ring_watermark = 4 * 1024 * 1024;

#endif
