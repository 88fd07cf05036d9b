/*
 * A scalar peer of the engine: one zone, its free lists as linked lists, one request at a time.
 *
 * The rules are those of Linux 6.12.29 and later (mm/page_alloc.c, K612y), as tests/oracle/kernel.py
 * states them: one function here for each of K612y there. No per-CPU lists, no watermarks, no direct map:
 * the buddy and its fallback alone. Written for this benchmark; nothing of the kernel is copied.
 */
#include <stdint.h>
#include <string.h>

enum { UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC, CMA, ISOLATE, TYPES };
enum { MAX_ORDER = 10, BLOCK_ORDER = 9, BLOCK_PAGES = 1 << BLOCK_ORDER, NONE = -1 };
enum { NORMAL, TRY_CMA, CLAIM, STEAL };

struct zone {
	int64_t pages, start_pfn, end_pfn;
	int32_t *next, *prev;     /* of each page, then of each list's head */
	int8_t *order;            /* of a free block, at its first page; NONE elsewhere */
	uint8_t *movable;         /* of each page in use: it counts as movable */
	uint8_t *type;            /* of each pageblock */
	int16_t *free, *alike;    /* of each pageblock: free pages, movable pages in use */
	int64_t free_pages[TYPES];
	int64_t mode, refill;
};

static const int fallbacks[3][2] = {
	{RECLAIMABLE, MOVABLE}, {RECLAIMABLE, UNMOVABLE}, {UNMOVABLE, MOVABLE},
};

static inline int32_t head(const struct zone *z, int order, int type)
{
	return (int32_t)z->pages + order * TYPES + type;
}

static inline int type_of(const struct zone *z, int32_t pfn)
{
	return z->type[pfn >> BLOCK_ORDER];
}

static inline int32_t first(const struct zone *z, int order, int type)
{
	int32_t at = z->next[head(z, order, type)];
	return at < z->pages ? at : NONE;
}

static void count(struct zone *z, int32_t pfn, int order, int type, int sign)
{
	z->free_pages[type] += sign * (1 << order);
	if (order <= BLOCK_ORDER) {
		z->free[pfn >> BLOCK_ORDER] += sign * (1 << order);
		return;
	}
	for (int b = 0; b < 1 << (order - BLOCK_ORDER); b++)
		z->free[(pfn >> BLOCK_ORDER) + b] += sign * BLOCK_PAGES;
}

static void add(struct zone *z, int32_t pfn, int order, int type, int tail)
{
	int32_t h = head(z, order, type);
	int32_t before = tail ? z->prev[h] : h;
	int32_t after = z->next[before];
	z->next[before] = z->prev[after] = pfn;
	z->prev[pfn] = before;
	z->next[pfn] = after;
	z->order[pfn] = order;
	count(z, pfn, order, type, 1);
}

static void drop(struct zone *z, int32_t pfn, int order, int type)
{
	z->next[z->prev[pfn]] = z->next[pfn];
	z->prev[z->next[pfn]] = z->prev[pfn];
	z->order[pfn] = NONE;
	count(z, pfn, order, type, -1);
}

static void expand(struct zone *z, int32_t pfn, int low, int high, int type)
{
	while (high > low) {
		high--;
		add(z, pfn + (1 << high), high, type, 0);
	}
}

static int32_t smallest(struct zone *z, int order, int type)
{
	for (int current = order; current <= MAX_ORDER; current++) {
		int32_t pfn = first(z, current, type);
		if (pfn != NONE) {
			drop(z, pfn, current, type);
			expand(z, pfn, order, current, type);
			return pfn;
		}
	}
	return NONE;
}

static int fallback(const struct zone *z, int order, int type)
{
	if (type > RECLAIMABLE)
		return NONE;
	for (int k = 0; k < 2; k++)
		if (first(z, order, fallbacks[type][k]) != NONE)
			return fallbacks[type][k];
	return NONE;
}

static void retype(struct zone *z, int32_t pfn, int order, int type)
{
	memset(z->type + (pfn >> BLOCK_ORDER), type, 1 << (order - BLOCK_ORDER));
}

/* Half of the pageblock is free, or in use as this type of request uses pages. */
static int enough(const struct zone *z, int32_t block, int label, int type)
{
	int alike = 0;
	if (type == MOVABLE)
		alike = z->alike[block];
	else if (label == MOVABLE)
		alike = BLOCK_PAGES - z->free[block] - z->alike[block];
	return z->free[block] + alike >= BLOCK_PAGES / 2;
}

static int32_t try_to_claim(struct zone *z, int32_t pfn, int current, int order, int type)
{
	int label = type_of(z, pfn);
	if (label == HIGHATOMIC)
		return NONE;
	if (current >= BLOCK_ORDER) {
		drop(z, pfn, current, label);
		retype(z, pfn, current, type);
		expand(z, pfn, order, current, type);
		return pfn;
	}
	int32_t begin = pfn & -BLOCK_PAGES, end = begin + BLOCK_PAGES;
	if (begin < z->start_pfn || end > z->end_pfn)
		return NONE;
	if (!enough(z, begin >> BLOCK_ORDER, label, type))
		return NONE;
	for (int32_t at = begin; at < end;) {
		int size = z->order[at];
		if (size == NONE) {
			at++;
			continue;
		}
		drop(z, at, size, label);
		add(z, at, size, type, 1);
		at += 1 << size;
	}
	z->type[begin >> BLOCK_ORDER] = type;
	return smallest(z, order, type);
}

static int32_t claim(struct zone *z, int order, int type)
{
	for (int current = MAX_ORDER; current >= order; current--) {
		int other = fallback(z, current, type);
		if (other == NONE)
			continue;
		if (current < BLOCK_ORDER / 2 && type == MOVABLE)
			return NONE;
		int32_t pfn = try_to_claim(z, first(z, current, other), current, order, type);
		if (pfn != NONE)
			return pfn;
	}
	return NONE;
}

static int32_t steal(struct zone *z, int order, int type)
{
	for (int current = order; current <= MAX_ORDER; current++) {
		int other = fallback(z, current, type);
		if (other == NONE)
			continue;
		int32_t pfn = first(z, current, other);
		drop(z, pfn, current, other);
		expand(z, pfn, order, current, other);
		return pfn;
	}
	return NONE;
}

static int32_t rmqueue(struct zone *z, int order, int type)
{
	int32_t pfn;
	if (type == MOVABLE) {
		int64_t all = 0;
		for (int t = 0; t < ISOLATE; t++)
			all += z->free_pages[t];
		if (z->free_pages[CMA] > all / 2 && (pfn = smallest(z, order, CMA)) != NONE)
			return pfn;
	}
	if (z->mode == NORMAL && (pfn = smallest(z, order, type)) != NONE)
		return pfn;
	if (z->mode <= TRY_CMA && type == MOVABLE && (pfn = smallest(z, order, CMA)) != NONE) {
		z->mode = TRY_CMA;
		return pfn;
	}
	if (z->mode <= CLAIM && (pfn = claim(z, order, type)) != NONE) {
		z->mode = NORMAL;
		return pfn;
	}
	pfn = steal(z, order, type);
	if (pfn != NONE)
		z->mode = STEAL;
	return pfn;
}

/* Pages that count as movable from now on, or no longer do. */
static void mark(struct zone *z, int32_t pfn, int order, int movable)
{
	for (int32_t at = pfn; at < pfn + (1 << order); at++) {
		z->alike[at >> BLOCK_ORDER] += movable - z->movable[at];
		z->movable[at] = movable;
	}
}

static void free_one(struct zone *z, int32_t pfn, int order, int type)
{
	while (order < MAX_ORDER) {
		int32_t buddy = pfn ^ (1 << order);
		if (buddy >= z->pages || z->order[buddy] != order)
			break;
		int other = type;
		if (order >= BLOCK_ORDER) {
			other = type_of(z, buddy);
			if (other != type && (other > RECLAIMABLE || type > RECLAIMABLE))
				break;
		}
		drop(z, buddy, order, other);
		if (other != type)
			retype(z, buddy, order, type);
		pfn &= buddy;
		order++;
	}
	int tail = 0;
	if (order < MAX_ORDER - 1) {
		int32_t above = (pfn & ~(1 << order)) ^ (2 << order);
		tail = above < z->pages && z->order[above] == order + 1;
	}
	add(z, pfn, order, type, tail);
}

/*
 * Answers requests [count][5] as in a replay case, without its snapshots; pfn[handle] gets the
 * first page of each allocation, NONE where it is refused.
 */
void answer(struct zone *z, const int32_t (*request)[5], int64_t count, int32_t *pfn)
{
	for (int64_t k = 0; k < count; k++) {
		const int32_t *r = request[k];
		int order = r[1];
		if (r[0] == 0) {
			if (r[4] != z->refill)
				z->mode = NORMAL;
			z->refill = r[4];
			int32_t got = pfn[r[3]] = rmqueue(z, order, r[2]);
			if (got != NONE)
				mark(z, got, order, r[2] == MOVABLE);
			continue;
		}
		if (r[3] >= 0 && pfn[r[3]] == NONE)
			continue;
		int32_t at = r[4] + (r[3] >= 0 ? pfn[r[3]] : 0);
		mark(z, at, order, 0);
		int step = order < BLOCK_ORDER ? order : BLOCK_ORDER;
		for (int32_t part = at; part < at + (1 << order); part += 1 << step)
			free_one(z, part, step, type_of(z, part));
	}
}

/* Every free block as (pfn, order, type): by order, type, place. Returns how many. */
int64_t lists(const struct zone *z, int32_t (*rows)[3])
{
	int64_t n = 0;
	for (int order = 0; order <= MAX_ORDER; order++)
		for (int type = 0; type < TYPES; type++)
			for (int32_t at = first(z, order, type); at != NONE && at < z->pages;
			     at = z->next[at]) {
				rows[n][0] = at;
				rows[n][1] = order;
				rows[n++][2] = type;
			}
	return n;
}

/* The limit of memory: a[i] = b[i] + 3 c[i] over a part of the arrays. */
void triad(double *a, const double *b, const double *c, int64_t first, int64_t behind)
{
	for (int64_t i = first; i < behind; i++)
		a[i] = b[i] + 3.0 * c[i];
}
