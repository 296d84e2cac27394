// SPDX-License-Identifier: Apache-2.0
//
// A pool in C: what a binding of another language would call, beside direct allocations (cudaMalloc). On the
// first GPU, or on the simulated device where there is none. No CUDA header is needed.
//
//     06_c_api [--simulated]
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <weir/c.h>
#include <weir/c_sim.h>

typedef struct {
  weir_pool* pool;
  weir_sim_device* simulated;  // null on a GPU
  struct CUstream_st* stream;
} stage;

static void must(weir_status status, const char* what) {
  if (status == WEIR_OK) return;
  fprintf(stderr, "%s: %s: %s\n", what, weir_status_name(status), weir_last_error_text());
  exit(1);
}

// A GPU if there is one, and CUDA's default stream, which needs no header to be named.
static stage open_stage(int simulated_only) {
  stage s = {NULL, NULL, WEIR_STREAM_PER_THREAD};
  weir_options options = {.struct_bytes = sizeof options, .text = "bytes_max=8GiB", .flags = WEIR_FROM_ENVIRONMENT};
  weir_status status = simulated_only ? WEIR_NO_CUDA_DEVICE : weir_pool_create(0, &options, &s.pool);
  if (status == WEIR_NO_CUDA_DEVICE || status == WEIR_BUILT_WITHOUT_CUDA) {
    must(weir_sim_device_create(NULL, &s.simulated), "a simulated device");
    must(weir_sim_stream_create(s.simulated, &s.stream), "a stream");
    status = weir_pool_create_simulated(s.simulated, &options, &s.pool);
  }
  must(status, "a pool");
  return s;
}

// Of the host; on the simulated device with what native calls would have cost.
static double now_us(const stage* s) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3 + (double)weir_sim_now_ns(s->simulated) * 1e-3;
}

enum { rounds = 200, blocks = 16 };
static size_t bytes_of(int round, int block) { return (size_t)(1 + (round * 7 + block * 13) % 64) * 96 * 1024; }

static double with_pool(const stage* s) {
  void* held[blocks];
  const double begin = now_us(s);
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < blocks; ++i) {
      must(weir_allocate(s->pool, bytes_of(round, i), s->stream, &held[i]), "weir_allocate");
    }
    for (int i = 0; i < blocks; ++i) {
      must(weir_deallocate(s->pool, held[i], bytes_of(round, i), s->stream), "weir_deallocate");
    }
  }
  return now_us(s) - begin;
}

static double with_direct(const stage* s) {
  void* held[blocks];
  const double begin = now_us(s);
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < blocks; ++i) {
      must(weir_allocate_direct(s->pool, bytes_of(round, i), &held[i]), "weir_allocate_direct");
    }
    for (int i = 0; i < blocks; ++i) must(weir_deallocate_direct(s->pool, held[i]), "weir_deallocate_direct");
  }
  return now_us(s) - begin;
}

// What cuQuantum or cuDSS would do with the handler.
static void as_a_library_would(const stage* s) {
  weir_memory_handler handler;
  must(weir_get_memory_handler(s->pool, &handler), "weir_get_memory_handler");
  void* workspace = NULL;
  if (handler.device_alloc(handler.ctx, &workspace, 64 << 20, s->stream) != 0) must(WEIR_INTERNAL, "device_alloc");
  printf("handler \"%s\" gave a workspace of 64 MiB\n", handler.name);
  if (handler.device_free(handler.ctx, workspace, 64 << 20, s->stream) != 0) must(WEIR_INTERNAL, "device_free");
}

int main(int argc, char** argv) {
  const stage s = open_stage(argc > 1 && strcmp(argv[1], "--simulated") == 0);
  printf("weir %s on %s\n", weir_version(), s.simulated ? "the simulated device (times modelled)" : "a GPU");

  const int pairs = rounds * blocks;
  with_pool(&s);  // once to warm up
  printf("%-24s %8.2f us a pair\n", "from the pool", with_pool(&s) / pairs);
  weir_statistics now = {.struct_bytes = sizeof now};
  must(weir_get_statistics(s.pool, &now), "weir_get_statistics");
  printf("%llu allocations, %.3f of them without a native call, peak %llu MiB live, %llu MiB reserved\n",
         (unsigned long long)now.allocations, now.hit_rate, (unsigned long long)now.allocated_peak >> 20,
         (unsigned long long)now.reserved_peak >> 20);
  weir_trim_report trimmed = {.struct_bytes = sizeof trimmed};
  must(weir_synchronize_and_trim(s.pool, 0, &trimmed), "weir_synchronize_and_trim");
  printf("trimmed: %zu MiB reserved, then %zu\n", trimmed.reserved_before >> 20, trimmed.reserved_after >> 20);
  printf("%-24s %8.2f us a pair\n", "direct (cudaMalloc)", with_direct(&s) / pairs);
  as_a_library_would(&s);

  void* too_much = NULL;
  const weir_status refused = weir_allocate(s.pool, (size_t)16 << 30, s.stream, &too_much);
  printf("16 GiB: %s: %s\n", weir_status_name(refused), weir_last_error_text());

  must(weir_pool_destroy(s.pool), "weir_pool_destroy");
  weir_sim_device_destroy(s.simulated);
  return refused == WEIR_OUT_OF_MEMORY ? 0 : 1;
}
