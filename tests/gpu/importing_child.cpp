// SPDX-License-Identifier: Apache-2.0
#include "importing_child.hpp"

#include <csignal>
#include <cstdio>
#include <cstring>
#include <cuda_runtime_api.h>
#include <fcntl.h>
#include <new>
#include <poll.h>
#include <spawn.h>
#include <string>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "kernels.hpp"

namespace weir::test {
namespace {

static_assert(std::is_trivially_copyable_v<importing_job> && std::is_trivially_copyable_v<exported_pool>);

struct message {
  exported_pool pool;
  importing_job job;
};

// A message with the pool's descriptor beside it, and back.
bool send_job(int socket, const exported_pool& pool, const importing_job& job) {
  message m{.pool = pool, .job = job};
  iovec bytes{&m, sizeof m};
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  header.msg_control = room;
  header.msg_controllen = sizeof room;
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(rights), &pool.descriptor, sizeof(int));
  return sendmsg(socket, &header, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof m);
}

bool receive_job(int socket, message& m) {
  iovec bytes{&m, sizeof m};
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  header.msg_control = room;
  header.msg_controllen = sizeof room;
  if (recvmsg(socket, &header, MSG_WAITALL) != static_cast<ssize_t>(sizeof m)) return false;
  const cmsghdr* rights = CMSG_FIRSTHDR(&header);
  if (!rights || rights->cmsg_type != SCM_RIGHTS) return false;
  std::memcpy(&m.pool.descriptor, CMSG_DATA(rights), sizeof(int));
  return true;
}

void set_text(importing_outcome& out, errc code, const std::string& text) {
  out.code = code;
  std::snprintf(out.text, sizeof out.text, "%s", text.c_str());
}

// False: CUDA itself failed in the child, which no platform excuses.
bool read_and_write(const message& m, std::vector<imported_block>& blocks, importing_outcome& out) {
  unsigned long long* wrong = nullptr;
  if (cudaMalloc(reinterpret_cast<void**>(&wrong), sizeof *wrong) != cudaSuccess) return false;
  if (cudaMemset(wrong, 0, sizeof *wrong) != cudaSuccess) return false;
  for (std::size_t i = 0; i < m.job.count; ++i) {
    const auto& item = m.job.blocks[i];
    count_mismatches(blocks[i].pointer(), item.bytes, item.seed, wrong, nullptr);
    fill(blocks[i].pointer(), item.bytes, item.seed + 1000, nullptr);
  }
  // Waits for the legacy stream, on which all of it is; releasing the blocks would, too.
  const bool read = cudaMemcpy(&out.mismatches, wrong, sizeof *wrong, cudaMemcpyDeviceToHost) == cudaSuccess;
  return cudaFree(wrong) == cudaSuccess && read;
}

importing_outcome import_all(const message& m) {
  importing_outcome out;
  auto pool = imported_pool::open(0, m.pool);
  close(m.pool.descriptor);
  if (!pool) return set_text(out, pool.error().code, pool.error().message()), out;
  std::vector<imported_block> blocks;
  for (std::size_t i = 0; i < m.job.count; ++i) {
    auto block = pool->import_block(m.job.blocks[i].block);
    if (!block) return set_text(out, block.error().code, block.error().message()), out;
    blocks.push_back(std::move(*block));
  }
  if (!read_and_write(m, blocks, out)) {
    set_text(out, errc::internal, std::string("in the child: ") + cudaGetErrorString(cudaGetLastError()));
    return out;
  }
  for (imported_block& block : blocks)
    if (const auto done = block.release(); !done) return set_text(out, done.error().code, done.error().message()), out;
  return out;
}

pid_t start(int socket, int close_there) {
  const std::string number = std::to_string(socket);
  std::array<const char*, 4> arguments{"gpu_peers", "--importing-child", number.c_str(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addclose(&actions, close_there);
  pid_t child = -1;
  const int failed =
      posix_spawn(&child, "/proc/self/exe", &actions, nullptr, const_cast<char* const*>(arguments.data()), environ);
  posix_spawn_file_actions_destroy(&actions);
  return failed ? -1 : child;
}

bool answers_in_time(int socket) {
  pollfd waiting{.fd = socket, .events = POLLIN, .revents = 0};
  return poll(&waiting, 1, 60'000) == 1;
}

}  // namespace

importing_outcome run_importing_child(const exported_pool& pool, const importing_job& job) {
  importing_outcome out;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return out;
  const pid_t child = start(ends[1], ends[0]);
  close(ends[1]);
  const bool sent = child > 0 && send_job(ends[0], pool, job);
  close(pool.descriptor);
  const bool answered = sent && answers_in_time(ends[0]) &&
                        recv(ends[0], &out, sizeof out, MSG_WAITALL) == static_cast<ssize_t>(sizeof out);
  close(ends[0]);
  if (child <= 0) return out;
  if (!answered) kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  out.finished = answered && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return out;
}

int be_importing_child(int socket) {
  message m;
  if (!receive_job(socket, m)) return 2;
  const importing_outcome out = import_all(m);
  return send(socket, &out, sizeof out, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof out) ? 0 : 3;
}

}  // namespace weir::test
