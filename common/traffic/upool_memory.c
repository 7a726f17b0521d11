/* SPDX-License-Identifier: Apache-2.0 */
/* What was seen of servers that close idle connections: a request that meets such a close may or may not have been taken, so
 * it must not be sent. A fixed table, in which a collision forgets one of the two. */
#include "traffic/upool_int.h"

#define AT_ONCE_MS   50        /* closed after its response: that says nothing of idleness */
#define SURE_MS      1000      /* no server that is used as one closes sooner */

struct upool_memory *upool_memory_of(struct upool *p, const struct uentry *e)
{
	uint8_t key[sizeof(e->pick.addr.ip) + sizeof(e->pick.addr.port) + sizeof(e->pick.host)];
	struct upool_memory *m;
	uint64_t h;

	memcpy(key, &e->pick.addr.ip, sizeof(e->pick.addr.ip));
	memcpy(key + sizeof(e->pick.addr.ip), &e->pick.addr.port, sizeof(e->pick.addr.port));
	memcpy(key + sizeof(e->pick.addr.ip) + sizeof(e->pick.addr.port), &e->pick.host, sizeof(e->pick.host));
	h = hash_bytes(key, sizeof(key));
	m = &p->memory[h % UPOOL_MEMORY];
	if (m->host != (uint32_t)(h >> 32))
		*m = (struct upool_memory){ .host = (uint32_t)(h >> 32) };
	return m;
}

void upool_memory_closed(struct upool_memory *m, uint64_t idle_ms)
{
	if (idle_ms < AT_ONCE_MS || idle_ms > UINT32_MAX)
		return;
	if (!m->closes_ms || idle_ms < m->closes_ms)
		m->closes_ms = (uint32_t)idle_ms;
	if (m->open_ms > idle_ms)
		m->open_ms = (uint32_t)idle_ms;
}

void upool_memory_open(struct upool_memory *m, uint64_t idle_ms)
{
	if (idle_ms > UINT32_MAX)
		idle_ms = UINT32_MAX;
	if (idle_ms > m->open_ms)
		m->open_ms = (uint32_t)idle_ms;
	/* It was no timeout then: a restart, or another configuration. */
	if (m->closes_ms && idle_ms > (uint64_t)m->closes_ms + m->closes_ms / 4)
		m->closes_ms = 0;
}

uint64_t upool_memory_limit(const struct upool_memory *m, enum upool_want want)
{
	uint64_t proven = (uint64_t)m->open_ms * 9 / 10;

	if (m->closes_ms)
		return (uint64_t)m->closes_ms * 8 / 10;
	return want == UPOOL_ANY ? UINT64_MAX : proven > SURE_MS ? proven : SURE_MS;
}
