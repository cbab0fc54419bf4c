/*
 * denial_queue.c
 *		Lists of slots; denial_queue.h has the contract.
 */
#include "denial_queue.h"

void
rg_denial_queue_init(RgDenialQueue *queue)
{
	memset(queue, 0, sizeof *queue);
	for (int i = 0; i < RG_DENIAL_SLOTS; i++)
		queue->next[i] = i + 1 < RG_DENIAL_SLOTS ? i + 1 : RG_DENIAL_NO_SLOT;
	for (int i = 0; i < RG_DENIAL_PLACES; i++)
		queue->lists[i].first = queue->lists[i].last = RG_DENIAL_NO_SLOT;
}

bool
rg_denial_queue_has_room(const RgDenialQueue *queue, int place, RgDenialClass class)
{
	return queue->free != RG_DENIAL_NO_SLOT &&
		queue->lists[place].count[class] < RG_DENIAL_QUEUE_SHARE;
}

int
rg_denial_queue_push(RgDenialQueue *queue, int place, RgDenialClass class)
{
	int			slot = queue->free;
	int			last = queue->lists[place].last;

	queue->free = queue->next[slot];
	queue->next[slot] = RG_DENIAL_NO_SLOT;
	queue->class[slot] = class;
	queue->lists[place].count[class]++;
	if (last == RG_DENIAL_NO_SLOT)
		queue->lists[place].first = slot;
	else
		queue->next[last] = slot;
	queue->lists[place].last = slot;
	return slot;
}

int
rg_denial_queue_first(const RgDenialQueue *queue, int place)
{
	return queue->lists[place].first;
}

int
rg_denial_queue_next(const RgDenialQueue *queue, int slot)
{
	return queue->next[slot];
}

void
rg_denial_queue_pop(RgDenialQueue *queue, int place)
{
	int			slot = queue->lists[place].first;

	queue->lists[place].first = queue->next[slot];
	if (queue->next[slot] == RG_DENIAL_NO_SLOT)
		queue->lists[place].last = RG_DENIAL_NO_SLOT;
	queue->lists[place].count[queue->class[slot]]--;
	queue->next[slot] = queue->free;
	queue->free = slot;
}
