// SPDX-License-Identifier: Apache-2.0
//
// weir/c.h as a C program uses it, on the simulated device. `c_api_test FACT` runs one case, without an argument all of
// them; `c_api_test --listed FACT...` fails unless exactly the cases are listed.
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/c.h>
#include <weir/c_sim.h>

static int failures;

#define CHECK(condition)                                                                                   \
  do {                                                                                                     \
    if (!(condition)) {                                                                                    \
      ++failures;                                                                                          \
      fprintf(stderr, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #condition, weir_last_error_text()); \
    }                                                                                                      \
  } while (0)
#define CHECK_STATUS(call, expected)                                                                             \
  do {                                                                                                           \
    const weir_status status_ = (call);                                                                          \
    if (status_ != (expected)) {                                                                                 \
      ++failures;                                                                                                \
      fprintf(stderr, "%s:%d: %s: %s, expected %s (%s)\n", __FILE__, __LINE__, #call, weir_status_name(status_), \
              weir_status_name(expected), weir_last_error_text());                                               \
    }                                                                                                            \
  } while (0)
#define OK(call) CHECK_STATUS(call, WEIR_OK)

static const size_t mib = (size_t)1 << 20;

// A device of its own for each case, a pool on it and two streams.
typedef struct {
  weir_sim_device* device;
  weir_pool* pool;
  struct CUstream_st *a, *b;
} scene;

static scene open_scene(const char* text) {
  scene s = {NULL, NULL, NULL, NULL};
  weir_options options = {.struct_bytes = sizeof options, .text = text};
  OK(weir_sim_device_create(NULL, &s.device));
  OK(weir_pool_create_simulated(s.device, &options, &s.pool));
  OK(weir_sim_stream_create(s.device, &s.a));
  OK(weir_sim_stream_create(s.device, &s.b));
  return s;
}

static void close_scene(scene* s) {
  OK(weir_pool_destroy(s->pool));
  CHECK(weir_sim_violation_count(s->device) == 0);
  weir_sim_device_destroy(s->device);
}

static weir_statistics statistics_of(const weir_pool* pool) {
  weir_statistics statistics = {.struct_bytes = sizeof statistics};
  OK(weir_get_statistics(pool, &statistics));
  return statistics;
}

static int says(const char* part) { return strstr(weir_last_error_text(), part) != NULL; }

static void blocks(void) {
  scene s = open_scene(NULL);
  void *p = NULL, *q = NULL;
  OK(weir_allocate(s.pool, 5000, s.a, &p));
  CHECK(p != NULL && (uintptr_t)p % 256 == 0);
  OK(weir_sim_launch(s.device, s.a, 1000, p, 5000));
  OK(weir_deallocate(s.pool, p, 5000, s.a));
  OK(weir_allocate(s.pool, 5000, s.a, &q));
  CHECK(q == p);  // in stream order at once
  OK(weir_deallocate(s.pool, q, 0, s.a));
  OK(weir_allocate_aligned(s.pool, 100, mib, s.a, &p));
  CHECK((uintptr_t)p % mib == 0);
  OK(weir_deallocate(s.pool, p, 100, s.a));
  q = &s;
  OK(weir_allocate(s.pool, 0, s.a, &q));
  CHECK(q == NULL);
  OK(weir_deallocate(s.pool, NULL, 0, s.a));
  OK(weir_allocate(s.pool, 4096, WEIR_STREAM_LEGACY, &p));
  OK(weir_deallocate(s.pool, p, 4096, NULL));  // null is the legacy stream
  CHECK(statistics_of(s.pool).allocations == 4);
  CHECK(weir_pool_device(s.pool) == 0 && weir_pool_device(NULL) == -1);
  close_scene(&s);
}

static void bad_blocks(void) {
  scene s = open_scene("checked=on");
  void* p = NULL;
  int local = 0;
  OK(weir_allocate(s.pool, 5000, s.a, &p));
  CHECK_STATUS(weir_deallocate(s.pool, p, 700, s.a), WEIR_SIZE_MISMATCH);
  CHECK(says("700 bytes given") && says("5000"));
  weir_error error = {.struct_bytes = sizeof error};
  OK(weir_last_error(&error));
  CHECK(error.status == WEIR_SIZE_MISMATCH && error.bytes == 700 && error.limit == 5000 && !error.has_report);
  CHECK_STATUS(weir_deallocate(s.pool, &local, 4, s.a), WEIR_FOREIGN_POINTER);
  CHECK_STATUS(weir_allocate_aligned(s.pool, 8, 3, s.a, &p), WEIR_INVALID_ALIGNMENT);
  CHECK(p == NULL);
  CHECK_STATUS(weir_allocate(s.pool, SIZE_MAX - 5, s.a, &p), WEIR_INVALID_SIZE);
  CHECK_STATUS(weir_allocate(s.pool, 8, s.a, NULL), WEIR_INVALID_ARGUMENT);
  CHECK(statistics_of(s.pool).live_count == 1);  // it survived all that
  OK(weir_pool_destroy_with_blocks(s.pool));
  s.pool = NULL;
  close_scene(&s);
}

static void double_free(void) {
  scene s = open_scene(NULL);
  void* p = NULL;
  OK(weir_allocate(s.pool, 5000, s.a, &p));
  OK(weir_deallocate(s.pool, p, 5000, s.a));
  CHECK_STATUS(weir_deallocate(s.pool, p, 5000, s.a), WEIR_DOUBLE_FREE);
  close_scene(&s);
}

typedef struct {
  scene* s;
  void* reserve;
  unsigned asked;
} rescue;

static int free_the_reserve(void* context, size_t bytes, unsigned attempt, const weir_memory_report* report) {
  rescue* r = context;
  CHECK(report->struct_bytes == sizeof *report && report->requested == bytes && attempt == 1);
  ++r->asked;
  if (!r->reserve) return 0;
  OK(weir_deallocate(r->s->pool, r->reserve, 0, r->s->a));
  r->reserve = NULL;
  return 1;
}

static void out_of_memory(void) {
  scene s = open_scene(NULL);
  OK(weir_pool_destroy(s.pool));
  rescue r = {&s, NULL, 0};
  const weir_options options = {
      .struct_bytes = sizeof options, .bytes_max = 128 * mib, .context = &r, .on_out_of_memory = free_the_reserve};
  OK(weir_pool_create_simulated(s.device, &options, &s.pool));
  OK(weir_allocate(s.pool, 96 * mib, s.a, &r.reserve));
  void* p = NULL;
  OK(weir_allocate(s.pool, 96 * mib, s.a, &p));
  CHECK(r.asked == 1);
  void* q = &s;
  CHECK_STATUS(weir_allocate(s.pool, 96 * mib, s.a, &q), WEIR_OUT_OF_MEMORY);
  CHECK(q == NULL && r.asked == 2 && says("out of memory") && says("100663296 bytes asked for"));
  weir_error error = {.struct_bytes = sizeof error};
  weir_memory_report report = {.struct_bytes = sizeof report};
  OK(weir_last_error(&error));
  OK(weir_last_memory_report(&report));
  CHECK(error.has_report && error.bytes == 96 * mib);
  CHECK(report.live == 96 * mib && report.bytes_max == 128 * mib && report.attempts >= 1);
  OK(weir_deallocate(s.pool, p, 96 * mib, s.a));
  close_scene(&s);
}

// A pool destroyed while a host still holds blocks.
static void destroyed_with_blocks(void) {
  scene s = open_scene(NULL);
  void* p = NULL;
  OK(weir_allocate(s.pool, 5000, s.a, &p));
  CHECK_STATUS(weir_pool_destroy(s.pool), WEIR_BLOCKS_LIVE);
  CHECK(says("5120 bytes in 1 blocks"));
  OK(weir_deallocate(s.pool, p, 5000, s.a));  // it goes on as before
  OK(weir_allocate_direct(s.pool, 5000, &p));
  CHECK_STATUS(weir_pool_destroy(s.pool), WEIR_BLOCKS_LIVE);
  OK(weir_pool_destroy_with_blocks(s.pool));
  s.pool = NULL;
  OK(weir_pool_create_simulated(s.device, NULL, &s.pool));  // all was given back: nothing of it is in the way
  close_scene(&s);
}

static void tokens(void) {
  scene s = open_scene(NULL);
  weir_stream *token = NULL, *other = NULL;
  void *p = NULL, *q = NULL;
  OK(weir_stream_open(s.pool, s.a, &token));
  OK(weir_stream_open(s.pool, s.b, &other));
  OK(weir_allocate_on(token, 5000, &p));
  OK(weir_deallocate_on(token, p, 5000));
  OK(weir_allocate(s.pool, 5000, s.a, &q));  // the same stream by its handle
  CHECK(p == q);
  OK(weir_record_use_on(other, q));
  OK(weir_deallocate(s.pool, q, 5000, s.a));
  OK(weir_stream_retire(token));
  CHECK_STATUS(weir_allocate_on(token, 5000, &p), WEIR_STREAM_RETIRED);
  CHECK_STATUS(weir_allocate_on(NULL, 5000, &p), WEIR_INVALID_ARGUMENT);
  close_scene(&s);
  CHECK_STATUS(weir_allocate_on(other, 5000, &p), WEIR_NULL_POOL);  // the pool is gone
  weir_stream_close(token);
  weir_stream_close(other);
  weir_stream_close(NULL);
}

// Without record_use the second kernel would write what the first, on the other stream, still reads.
static void second_streams(void) {
  scene s = open_scene(NULL);
  void *p = NULL, *q = NULL;
  OK(weir_allocate(s.pool, 5000, s.a, &p));
  OK(weir_sim_launch(s.device, s.a, 1000, p, 5000));
  OK(weir_sim_order(s.device, s.a, s.b));
  OK(weir_record_use(s.pool, p, s.b));
  OK(weir_sim_launch(s.device, s.b, 100000, p, 5000));
  OK(weir_deallocate(s.pool, p, 5000, s.a));
  OK(weir_allocate(s.pool, 5000, s.a, &q));
  OK(weir_sim_launch(s.device, s.a, 1000, q, 5000));
  CHECK(weir_sim_violation_count(s.device) == 0);
  OK(weir_deallocate(s.pool, q, 5000, s.a));
  OK(weir_retire(s.pool, s.b));
  OK(weir_sim_stream_destroy(s.device, s.b));
  close_scene(&s);
}

static void captures(void) {
  scene s = open_scene(NULL);
  void* p = NULL;
  OK(weir_sim_set_capturing(s.device, s.a, 1));
  CHECK_STATUS(weir_allocate(s.pool, 5000, s.a, &p), WEIR_STREAM_CAPTURING);
  CHECK(says("capture scope"));
  OK(weir_allocate(s.pool, 5000, s.b, &p));
  OK(weir_deallocate(s.pool, p, 5000, s.b));
  OK(weir_sim_set_capturing(s.device, s.a, 0));
  close_scene(&s);
}

// As a graph would: its kernel runs again and again, on a stream that nobody is ordered with.
static void graph_memories(void) {
  scene s = open_scene(NULL);
  weir_capture* capture = NULL;
  weir_graph_memory* memory = NULL;
  void *p = NULL, *q = NULL;
  OK(weir_capture_begin(s.pool, s.a, NULL, &capture));
  OK(weir_sim_set_capturing(s.device, s.a, 1));
  OK(weir_allocate(s.pool, 5 * mib, s.a, &p));
  OK(weir_deallocate(s.pool, p, 5 * mib, s.a));
  OK(weir_allocate(s.pool, 5 * mib, s.a, &q));
  CHECK(p == q);
  OK(weir_deallocate(s.pool, q, 5 * mib, s.a));
  OK(weir_sim_set_capturing(s.device, s.a, 0));
  OK(weir_capture_end(capture, &memory));
  CHECK(weir_graph_memory_bytes(memory) >= 5 * mib && statistics_of(s.pool).pinned >= 5 * mib);
  for (int i = 0; i < 5; ++i) {
    OK(weir_sim_launch(s.device, s.b, 100000, p, 5 * mib));
    OK(weir_allocate(s.pool, 5 * mib, s.a, &q));
    OK(weir_sim_launch(s.device, s.a, 1000, q, 5 * mib));
    OK(weir_deallocate(s.pool, q, 5 * mib, s.a));
  }
  CHECK(weir_sim_violation_count(s.device) == 0);
  const uint64_t waits = statistics_of(s.pool).native_synchronize;
  OK(weir_graph_memory_release(memory, s.b));
  CHECK(statistics_of(s.pool).pinned == 0 && statistics_of(s.pool).native_synchronize == waits);
  OK(weir_allocate(s.pool, 5 * mib, s.a, &q));  // whatever it is given, it waits for the last launch
  OK(weir_sim_launch(s.device, s.a, 1000, q, 5 * mib));
  OK(weir_deallocate(s.pool, q, 5 * mib, s.a));
  close_scene(&s);
}

static void forked_captures(void) {
  scene s = open_scene(NULL);
  weir_capture *on_a = NULL, *on_b = NULL;
  weir_graph_memory *shared = NULL, *one = NULL, *two = NULL;
  void *p = NULL, *q = NULL;
  OK(weir_capture_begin(s.pool, s.a, NULL, &on_a));
  OK(weir_capture_memory(on_a, &shared));
  OK(weir_capture_begin(s.pool, s.b, shared, &on_b));
  OK(weir_allocate(s.pool, 5000, s.a, &p));
  OK(weir_allocate(s.pool, 5000, s.b, &q));
  CHECK(p != q);
  OK(weir_deallocate(s.pool, q, 5000, s.b));
  OK(weir_capture_end(on_b, &two));
  OK(weir_capture_end(on_a, &one));
  CHECK(weir_graph_memory_bytes(one) == weir_graph_memory_bytes(two) && weir_graph_memory_bytes(one) > 0);
  OK(weir_graph_memory_release(two, s.a));
  OK(weir_graph_memory_release(one, s.a));
  CHECK(statistics_of(s.pool).pinned > 0);  // there is a share left
  OK(weir_graph_memory_release(shared, NULL));
  CHECK(statistics_of(s.pool).pinned == 0);
  OK(weir_deallocate(s.pool, p, 5000, s.b));  // live at the end of the capture
  close_scene(&s);
}

static void bad_captures(void) {
  scene s = open_scene(NULL), other = open_scene(NULL);
  weir_capture *capture = NULL, *second = (weir_capture*)&s;
  weir_graph_memory* memory = NULL;
  OK(weir_capture_begin(s.pool, s.a, NULL, &capture));
  CHECK_STATUS(weir_capture_begin(s.pool, s.a, NULL, &second), WEIR_INVALID_ARGUMENT);
  CHECK(second == NULL && says("a capture scope is open on this stream"));
  OK(weir_capture_memory(capture, &memory));
  CHECK_STATUS(weir_capture_begin(other.pool, other.a, memory, &second), WEIR_INVALID_ARGUMENT);
  CHECK(says("graph memory of another pool"));
  CHECK_STATUS(weir_capture_begin(s.pool, s.a, NULL, NULL), WEIR_INVALID_ARGUMENT);
  CHECK_STATUS(weir_capture_memory(NULL, &memory), WEIR_INVALID_ARGUMENT);
  CHECK_STATUS(weir_capture_begin(NULL, s.a, NULL, &second), WEIR_NULL_POOL);
  OK(weir_capture_end(capture, NULL));
  OK(weir_graph_memory_release(memory, NULL));
  memory = (weir_graph_memory*)&s;
  OK(weir_capture_end(NULL, &memory));
  CHECK(memory == NULL);
  OK(weir_graph_memory_release(NULL, s.a));
  CHECK(weir_graph_memory_bytes(NULL) == 0);
  OK(weir_capture_begin(other.pool, other.a, NULL, &capture));
  close_scene(&other);
  OK(weir_capture_end(capture, &memory));  // after its pool
  CHECK(weir_graph_memory_bytes(memory) == 0);
  OK(weir_graph_memory_release(memory, WEIR_STREAM_LEGACY));
  close_scene(&s);
}

static void direct(void) {
  scene s = open_scene(NULL);
  void* p = NULL;
  OK(weir_allocate_direct(s.pool, 5000, &p));
  CHECK(statistics_of(s.pool).direct >= 5000);
  OK(weir_deallocate_direct(s.pool, p));
  CHECK(statistics_of(s.pool).direct == 0);
  CHECK_STATUS(weir_deallocate_direct(s.pool, p), WEIR_FOREIGN_POINTER);
  close_scene(&s);
}

static void trims(void) {
  scene s = open_scene("trim=retain");
  void* p = NULL;
  OK(weir_allocate(s.pool, 200 * mib, s.a, &p));
  CHECK_STATUS(weir_set_bytes_max(s.pool, 100 * mib), WEIR_LIMIT_BELOW_LIVE);
  OK(weir_deallocate(s.pool, p, 200 * mib, s.a));
  OK(weir_sim_synchronize(s.device));
  weir_defragment_report defragmented = {.struct_bytes = sizeof defragmented};
  OK(weir_defragment(s.pool, &defragmented));
  CHECK(defragmented.largest_free_after >= defragmented.largest_free_before);
  weir_trim_report trimmed = {.struct_bytes = sizeof trimmed};
  OK(weir_trim_by_policy(s.pool, NULL));
  OK(weir_trim(s.pool, 0, &trimmed));
  CHECK(trimmed.kept_pending >= 200 * mib);  // a raw handle is not touched, so nobody knows
  OK(weir_synchronize_and_trim(s.pool, 0, &trimmed));
  CHECK(trimmed.reserved_before >= 200 * mib && trimmed.reserved_after == 0);
  OK(weir_set_bytes_max(s.pool, 100 * mib));
  trimmed.struct_bytes = 0;
  CHECK_STATUS(weir_trim(s.pool, 0, &trimmed), WEIR_INVALID_ARGUMENT);
  CHECK(says("weir_trim_report"));
  close_scene(&s);
}

static void add_live(void* context, const weir_block* block) {
  if (block->state == WEIR_BLOCK_LIVE) *(size_t*)context += block->bytes;
}

static void looking(void) {
  scene s = open_scene(NULL);
  void* p = NULL;
  OK(weir_allocate(s.pool, 5000, s.a, &p));
  size_t live = 0;
  OK(weir_walk(s.pool, add_live, &live));
  const weir_statistics now = statistics_of(s.pool);
  CHECK(live == 5120 && now.allocated == 5120 && now.live_count == 1 && now.stream_count >= 1);
  CHECK(now.reserved >= now.held && now.held >= live && now.native_allocate >= 1);
  CHECK_STATUS(weir_walk(s.pool, NULL, NULL), WEIR_INVALID_ARGUMENT);
  OK(weir_deallocate(s.pool, p, 5000, s.a));
  close_scene(&s);
}

// A program made for an older structure, and one made for a newer.
static void sizes_of_structures(void) {
  scene s = open_scene(NULL);
  weir_statistics old;
  memset(&old, 0x5a, sizeof old);
  old.struct_bytes = offsetof(weir_statistics, held);
  OK(weir_get_statistics(s.pool, &old));
  CHECK(old.allocated == 0 && old.free == 0 && old.held == UINT64_C(0x5a5a5a5a5a5a5a5a));
  struct {
    weir_statistics known;
    uint64_t later;
  } larger = {.known = {.struct_bytes = sizeof larger}, .later = 7};
  OK(weir_get_statistics(s.pool, &larger.known));
  CHECK(larger.later == 0 && larger.known.struct_bytes == sizeof larger);
  struct {
    weir_options known;
    uint64_t later;
  } options = {.known = {.struct_bytes = sizeof options}, .later = 7};
  weir_pool* pool = NULL;
  CHECK_STATUS(weir_pool_create_simulated(s.device, &options.known, &pool), WEIR_NOT_SUPPORTED);
  CHECK(pool == NULL);
  options.later = 0;
  OK(weir_pool_create_simulated(s.device, &options.known, &pool));
  OK(weir_pool_destroy(pool));
  options.known.struct_bytes = offsetof(weir_options, bytes_max);  // as of a time before there were limits
  options.known.bytes_max = 1;
  OK(weir_pool_create_simulated(s.device, &options.known, &pool));
  OK(weir_allocate(pool, mib, s.a, &(void*){NULL}));
  OK(weir_pool_destroy_with_blocks(pool));
  close_scene(&s);
}

static void options_as_text(void) {
  scene s = open_scene("bytes_max=64MiB");
  void* p = NULL;
  CHECK_STATUS(weir_allocate(s.pool, 100 * mib, s.a, &p), WEIR_OUT_OF_MEMORY);
  weir_pool* pool = NULL;
  weir_options options = {.struct_bytes = sizeof options, .text = "bytes_max=lots"};
  CHECK_STATUS(weir_pool_create_simulated(s.device, &options, &pool), WEIR_INVALID_ARGUMENT);
  CHECK(says("bytes_max") && says("lots"));
  options.text = NULL;
  options.flags = 1U << 30;
  CHECK_STATUS(weir_pool_create_simulated(s.device, &options, &pool), WEIR_NOT_SUPPORTED);
  options.flags = WEIR_FROM_ENVIRONMENT | WEIR_NO_CAPTURE_GUARD | WEIR_TRUST_HANDLES | WEIR_CHECKED;
  setenv("WEIR_OPTIONS", "bytes_max=32MiB", 1);
  options.text = "bytes_max=1GiB";
  OK(weir_pool_create_simulated(s.device, &options, &pool));
  CHECK_STATUS(weir_allocate(pool, 64 * mib, s.a, &p), WEIR_OUT_OF_MEMORY);  // the environment has the last word
  unsetenv("WEIR_OPTIONS");
  OK(weir_pool_destroy(pool));
  close_scene(&s);
}

// NVIDIA's structure, spelled out: custatevec.h, cutensornet.h and cudss.h agree on it.
typedef struct {
  void* ctx;
  int (*device_alloc)(void* ctx, void** ptr, size_t size, struct CUstream_st* stream);
  int (*device_free)(void* ctx, void* ptr, size_t size, struct CUstream_st* stream);
  char name[64];
} their_handler;
_Static_assert(sizeof(weir_memory_handler) == sizeof(their_handler), "the handler's size");
_Static_assert(offsetof(weir_memory_handler, ctx) == offsetof(their_handler, ctx), "ctx");
_Static_assert(offsetof(weir_memory_handler, device_alloc) == offsetof(their_handler, device_alloc), "device_alloc");
_Static_assert(offsetof(weir_memory_handler, device_free) == offsetof(their_handler, device_free), "device_free");
_Static_assert(offsetof(weir_memory_handler, name) == offsetof(their_handler, name), "name");

// And theirs itself, where their headers are.
#define SAME_LAYOUT(theirs)                                                                               \
  _Static_assert(sizeof(theirs) == sizeof(weir_memory_handler), #theirs);                                 \
  _Static_assert(offsetof(theirs, device_free) == offsetof(weir_memory_handler, device_free), #theirs);   \
  _Static_assert(offsetof(theirs, device_alloc) == offsetof(weir_memory_handler, device_alloc), #theirs); \
  _Static_assert(offsetof(theirs, name) == offsetof(weir_memory_handler, name), #theirs)
#if __has_include(<cudss.h>)
#include <cudss.h>
SAME_LAYOUT(cudssDeviceMemHandler_t);
#endif
#if __has_include(<custatevec.h>)
#include <custatevec.h>
SAME_LAYOUT(custatevecDeviceMemHandler_t);
#endif
#if __has_include(<cutensornet.h>)
#include <cutensornet.h>
SAME_LAYOUT(cutensornetDeviceMemHandler_t);
#endif

static void memory_handler(void) {
  scene s = open_scene(NULL);
  weir_memory_handler handler;
  their_handler theirs;
  OK(weir_get_memory_handler(s.pool, &handler));
  memcpy(&theirs, &handler, sizeof theirs);
  CHECK(strcmp(theirs.name, "weir") == 0);
  void* p = NULL;
  CHECK(theirs.device_alloc(theirs.ctx, &p, 5000, s.a) == 0);
  CHECK(p != NULL && (uintptr_t)p % 256 == 0);
  OK(weir_sim_launch(s.device, s.a, 1000, p, 5000));
  CHECK(theirs.device_free(theirs.ctx, p, 500, s.a) == WEIR_SIZE_MISMATCH);
  OK(weir_sim_order(s.device, s.a, s.b));
  CHECK(theirs.device_free(theirs.ctx, p, 5000, s.b) == 0);  // on another stream, ordered there
  CHECK(theirs.device_alloc(theirs.ctx, &p, (size_t)1 << 50, s.a) != 0);
  CHECK(p == NULL);
  close_scene(&s);
}

static void* fail_elsewhere(void* pool) {
  CHECK(weir_last_error_text()[0] == '\0');
  CHECK_STATUS(weir_allocate(pool, SIZE_MAX - 5, WEIR_STREAM_LEGACY, &(void*){NULL}), WEIR_INVALID_SIZE);
  return NULL;
}

static void errors_of_threads(void) {
  scene s = open_scene(NULL);
  CHECK_STATUS(weir_deallocate(s.pool, &s, 0, s.a), WEIR_FOREIGN_POINTER);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, fail_elsewhere, s.pool) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(says("foreign pointer"));
  void* p = NULL;
  OK(weir_allocate(s.pool, 5000, s.a, &p));
  CHECK(says("foreign pointer"));  // what succeeds leaves it alone
  OK(weir_deallocate(s.pool, p, 5000, s.a));
  close_scene(&s);
}

static void forked_children(void) {
  scene s = open_scene(NULL);
  void* p = NULL;
  OK(weir_allocate(s.pool, 5000, s.a, &p));
  const pid_t child = fork();
  if (child == 0) {
    failures = 0;
    void* q = NULL;
    CHECK_STATUS(weir_allocate(s.pool, 5000, s.a, &q), WEIR_FORKED);
    CHECK(says("fork"));
    CHECK_STATUS(weir_deallocate(s.pool, p, 5000, s.a), WEIR_FORKED);
    OK(weir_pool_destroy(s.pool));  // whatever is live: it is the parent's
    _exit(failures ? 1 : 0);
  }
  int how = 0;
  CHECK(waitpid(child, &how, 0) == child && WIFEXITED(how) && WEXITSTATUS(how) == 0);
  OK(weir_deallocate(s.pool, p, 5000, s.a));
  close_scene(&s);
}

static void null_handles(void) {
  void* p = NULL;
  weir_stream* token = NULL;
  weir_statistics statistics = {.struct_bytes = sizeof statistics};
  weir_memory_handler handler;
  struct CUstream_st* stream = NULL;
  CHECK_STATUS(weir_allocate(NULL, 1, NULL, &p), WEIR_NULL_POOL);
  CHECK_STATUS(weir_deallocate(NULL, NULL, 0, NULL), WEIR_NULL_POOL);
  CHECK_STATUS(weir_record_use(NULL, p, NULL), WEIR_NULL_POOL);
  CHECK_STATUS(weir_allocate_direct(NULL, 1, &p), WEIR_NULL_POOL);
  CHECK_STATUS(weir_deallocate_direct(NULL, p), WEIR_NULL_POOL);
  CHECK_STATUS(weir_retire(NULL, NULL), WEIR_NULL_POOL);
  CHECK_STATUS(weir_stream_open(NULL, NULL, &token), WEIR_NULL_POOL);
  CHECK_STATUS(weir_get_statistics(NULL, &statistics), WEIR_NULL_POOL);
  CHECK_STATUS(weir_trim(NULL, 0, NULL), WEIR_NULL_POOL);
  CHECK_STATUS(weir_defragment(NULL, NULL), WEIR_NULL_POOL);
  CHECK_STATUS(weir_set_bytes_max(NULL, 0), WEIR_NULL_POOL);
  CHECK_STATUS(weir_walk(NULL, add_live, NULL), WEIR_NULL_POOL);
  CHECK_STATUS(weir_get_memory_handler(NULL, &handler), WEIR_NULL_POOL);
  CHECK_STATUS(weir_pool_create(0, NULL, NULL), WEIR_INVALID_ARGUMENT);
  CHECK_STATUS(weir_sim_stream_create(NULL, &stream), WEIR_INVALID_ARGUMENT);
  OK(weir_pool_destroy(NULL));
  OK(weir_pool_destroy_with_blocks(NULL));
}

static void names(void) {
  CHECK(strcmp(weir_status_name(WEIR_OUT_OF_MEMORY), "WEIR_OUT_OF_MEMORY") == 0);
  CHECK(strcmp(weir_status_text(WEIR_FORKED), "used after fork") == 0);
  CHECK(strcmp(weir_status_name(WEIR_BLOCKS_LIVE), "WEIR_BLOCKS_LIVE") == 0);
  CHECK(strcmp(weir_status_name(12345), "unknown status") == 0);
  CHECK(strchr(weir_version(), '.') != NULL);
}

// A device that is not there is an answer, with or without a GPU, with or without CUDA in the build.
static void no_such_device(void) {
  weir_pool* pool = NULL;
  const weir_status status = weir_pool_create(4096, NULL, &pool);
  CHECK(status == WEIR_BUILT_WITHOUT_CUDA || status == WEIR_NO_CUDA_DEVICE || status == WEIR_NO_SUCH_DEVICE);
  CHECK(pool == NULL && weir_last_error_text()[0] != '\0');
}

typedef struct {
  const char* fact;
  void (*run)(void);
} test_case;

static const test_case cases[] = {
    {"blocks are had and freed in stream order", blocks},
    {"a bad block is refused and stays", bad_blocks},
    {"a double free is refused", double_free},
    {"out of memory comes with a report, after the handler was asked", out_of_memory},
    {"a pool with live blocks is not destroyed unless that is meant", destroyed_with_blocks},
    {"tokens outlive their stream and their pool", tokens},
    {"a block used on a second stream waits for it", second_streams},
    {"a capturing stream is refused by default", captures},
    {"what a capture allocated is kept until its memory is released", graph_memories},
    {"two streams of one capture share a memory", forked_captures},
    {"captures refuse what cannot be", bad_captures},
    {"direct blocks are counted apart", direct},
    {"trimming reports what it gave back", trims},
    {"statistics and the walk agree", looking},
    {"structures of older and newer programs fit", sizes_of_structures},
    {"options come as text and from the environment", options_as_text},
    {"the memory handler is the one NVIDIA's libraries take", memory_handler},
    {"each thread has its own last error", errors_of_threads},
    {"a forked child gets errors", forked_children},
    {"null handles are answered", null_handles},
    {"statuses have names", names},
    {"a device that is not there is an answer", no_such_device},
};
enum { case_count = sizeof cases / sizeof cases[0] };

static const test_case* find(const char* fact) {
  for (int i = 0; i < case_count; ++i) {
    if (strcmp(cases[i].fact, fact) == 0) return &cases[i];
  }
  fprintf(stderr, "no such case: %s\n", fact);
  return NULL;
}

static int all_listed(int count, char** facts) {
  int unknown = 0;
  for (int i = 0; i < count; ++i) unknown += find(facts[i]) == NULL;
  if (count != case_count) fprintf(stderr, "%d cases, %d listed\n", (int)case_count, count);
  return unknown || count != case_count;
}

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "--listed") == 0) return all_listed(argc - 2, argv + 2);
  if (argc > 1) {
    const test_case* one = find(argv[1]);
    if (!one) return 2;
    one->run();
  } else {
    for (int i = 0; i < case_count; ++i) cases[i].run();
  }
  return failures != 0;
}
