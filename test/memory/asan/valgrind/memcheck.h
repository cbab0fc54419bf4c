/*
 * memcheck.h
 *		Valgrind's requests, answered by AddressSanitizer.
 *
 * A PostgreSQL built with USE_VALGRIND tells Valgrind which bytes of its memory
 * contexts and buffers may be touched.  Compiled against this file it tells
 * AddressSanitizer, which by itself sees only malloc()'s blocks: a read past
 * the end of a palloc'd chunk or after its pfree() then ends the backend.  What
 * is defined and what is not AddressSanitizer does not know.
 */
#ifndef RG_ASAN_MEMCHECK_H
#define RG_ASAN_MEMCHECK_H

#include <sanitizer/asan_interface.h>

#define RUNNING_ON_VALGRIND 0
#define VALGRIND_PRINTF(...) ((void) 0)
#define VALGRIND_COUNT_ERRORS 0
#define VALGRIND_CHECK_MEM_IS_DEFINED(address, size) ((void) 0)

#define VALGRIND_MAKE_MEM_NOACCESS(address, size) \
	__asan_poison_memory_region((address), (size))
#define VALGRIND_MAKE_MEM_UNDEFINED(address, size) \
	__asan_unpoison_memory_region((address), (size))
#define VALGRIND_MAKE_MEM_DEFINED(address, size) \
	__asan_unpoison_memory_region((address), (size))

/* A chunk that is freed has been marked before; the pools are the contexts. */
#define VALGRIND_CREATE_MEMPOOL(pool, redzone, zeroed) ((void) 0)
#define VALGRIND_DESTROY_MEMPOOL(pool) ((void) 0)
#define VALGRIND_MEMPOOL_TRIM(pool, address, size) ((void) 0)
#define VALGRIND_MEMPOOL_FREE(pool, address) ((void) 0)
#define VALGRIND_MEMPOOL_ALLOC(pool, address, size) \
	__asan_unpoison_memory_region((address), (size))
#define VALGRIND_MEMPOOL_CHANGE(pool, old, address, size) \
	__asan_unpoison_memory_region((address), (size))

#endif
