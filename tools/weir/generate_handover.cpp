// SPDX-License-Identifier: Apache-2.0
//
// Threads that pass blocks on: allocated on one stream by one thread, used on second streams, handed over with an event
// and a wait, freed elsewhere by others. Sizes are log-uniform from 16 bytes to a sixteenth of what may be live at
// once; what is live goes up and down in tides, and now and then a thread takes a burst of one size.
#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "generate.hpp"
#include "random_source.hpp"
#include "trace_maker.hpp"

namespace weir::cli {
namespace {

constexpr std::uint64_t bytes_min = 16;
constexpr std::size_t live_count_max = 4096;

class handover_workload {
 public:
  handover_workload(const generate_handover_options& options, trace_maker& make)
      : options_(options), make_(make), random_(options.common.seed) {}

  void run() {
    make_.add_streams(options_.streams);
    while (make_.events() + live_.size() < options_.common.events) take_turn();
    while (!live_.empty()) let_go(random_.below(live_.size()));
  }

 private:
  struct held {
    trace_maker::block block;
    std::uint32_t thread = 0;
  };

  // One thread acts a few times before another does.
  void take_turn() {
    thread_ = static_cast<std::uint32_t>(random_.below(options_.threads));
    make_.act_as(thread_);
    if (random_.chance(1)) set_tide();
    if (random_.chance(2)) burst();
    for (std::uint64_t i = random_.between(1, 12); i > 0; --i) act();
  }

  // How much is to be live for a while: nearly nothing, or up to all that may be.
  void set_tide() { tide_bytes_ = options_.common.bytes_max / 16 * random_.between(0, 16); }

  void act() {
    make_.let_pass(random_.log_between(500, 200'000));
    const bool is_low = make_.live_bytes() < tide_bytes_ && live_.size() < live_count_max;
    if (live_.empty() || random_.chance(is_low ? 55 : 30)) return take(size());
    const std::size_t which = choose();
    if (random_.chance(30)) return make_.use(live_[which].block, any_stream());
    if (random_.chance(30)) return pass_on(live_[which]);
    let_go(which);
  }

  std::uint64_t size() {
    const std::uint64_t most = std::max<std::uint64_t>(options_.common.bytes_max / 16, bytes_min);
    if (random_.chance(3)) return random_.log_between(std::max(most / 8, bytes_min), most);
    return random_.log_between(bytes_min, std::max(std::min<std::uint64_t>(most, 32 << 20), bytes_min));
  }

  // Nothing where it would pass the limit.
  void take(std::uint64_t bytes) {
    if (make_.live_bytes() + bytes > options_.common.bytes_max) return;
    const std::uint64_t alignment = random_.chance(2) ? std::uint64_t{512} << random_.below(8) : 0;
    live_.push_back({make_.allocate(bytes, own_stream(), alignment), thread_});
  }

  // Many of one size at once, as a step of a program makes them; half go at once, the last first.
  void burst() {
    const std::uint64_t bytes = random_.log_between(256, 1 << 20);
    const std::uint64_t count = random_.between(8, 64);
    const std::uint32_t stream = own_stream();
    const std::size_t before = live_.size();
    for (std::uint64_t i = 0; i < count && make_.live_bytes() + bytes <= options_.common.bytes_max; ++i)
      live_.push_back({make_.allocate(bytes, stream), thread_});
    for (std::size_t left = (live_.size() - before) / 2; left > 0; --left) {
      make_.deallocate(live_.back().block, stream);
      live_.pop_back();
    }
  }

  // The young go early, and a thread prefers what is not its own: it came from another one.
  std::size_t choose() {
    std::size_t which = random_.below(live_.size());
    for (int tries = 0; tries < 3 && live_[which].thread == thread_; ++tries) which = random_.below(live_.size());
    return random_.chance(40) ? live_.size() - 1 - random_.below(std::min<std::size_t>(live_.size(), 8)) : which;
  }

  void pass_on(held& what) {
    make_.hand_over(what.block, any_stream());
    what.thread = static_cast<std::uint32_t>(random_.below(options_.threads));
  }

  // Mostly on the stream that owns it; else on one of this thread's.
  void let_go(std::size_t which) {
    const auto block = live_[which].block;
    make_.deallocate(block, random_.chance(60) ? block.stream : own_stream());
    live_[which] = live_.back();
    live_.pop_back();
  }

  std::uint32_t any_stream() { return static_cast<std::uint32_t>(random_.below(options_.streams)); }
  // Streams are dealt out to the threads; now and then one works on another's.
  std::uint32_t own_stream() {
    const std::uint32_t share = std::max(options_.streams / options_.threads, 1u);
    if (random_.chance(10)) return any_stream();
    return static_cast<std::uint32_t>((thread_ * share + random_.below(share)) % options_.streams);
  }

  const generate_handover_options& options_;
  trace_maker& make_;
  random_source random_;
  std::uint32_t thread_ = 0;
  std::uint64_t tide_bytes_ = options_.common.bytes_max / 2;
  std::vector<held> live_;
};

}  // namespace

void setup_generate_handover(CLI::App& generate, int& exit_code) {
  auto options = std::make_shared<generate_handover_options>();
  CLI::App* sub = generate.add_subcommand("handover", "Threads and streams that hand blocks to each other");
  add_generate_options(*sub, options->common);
  sub->add_option("--threads", options->threads, "Threads that allocate and free")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  sub->add_option("--streams", options->streams, "Streams they do it on")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  sub->callback([options, &exit_code] { exit_code = run_generate_handover(*options); });
}

int run_generate_handover(const generate_handover_options& options) {
  return run_generate(options.common, "handover", [&](trace_maker& make) { handover_workload(options, make).run(); });
}

}  // namespace weir::cli
