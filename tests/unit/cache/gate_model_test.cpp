// SPDX-License-Identifier: Apache-2.0
//
// The gate's handshake in every interleaving, with stores that reach others late. The programs are lib/cache/gate step
// by step: each step names its statement, in the order of the source, and a test compares the two. Every step is left
// out once, and that is found.
#include "unit/cache/gate_model.hpp"

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>

namespace weir::test {
namespace {

constexpr std::uint8_t open = 0, shut = 1, guarded = 2, closed = 3;

// --- the programs ---------------------------------------------------------------------------------------------------

// An owner's turn: try_enter(), else enter_slow(); inside; leave() or leave_slow().
void add_owner_turn(program& p, std::uint8_t gate, const std::string& turn) {
  const auto at = [&](const char* label) { return turn + label; };
  const auto add = [&](instruction i) {
    i.gate = gate;
    p.push_back(std::move(i));
  };
  using enum op;
  using enum variable;
  add({.what = store,
       .which = busy,
       .value = 1,
       .name = "raise",
       .code = "busy_.store(1, std::memory_order_relaxed);",
       .label = at("try")});
  add({.what = load, .which = state, .code = "if (state_.load(std::memory_order_acquire) == open_) [[likely]]"});
  add({.what = if_equal, .value = open, .to = at("in")});
  add({.what = store_release,
       .which = busy,
       .value = 0,
       .name = "lower",
       .code = "busy_.store(0, std::memory_order_release);"});
  add({.what = load,
       .which = state,
       .code = "const std::uint32_t state = state_.load(std::memory_order_acquire);",
       .label = at("slow")});
  add({.what = if_equal,
       .value = closed,
       .to = at("done"),
       .name = "closed",
       .code = "if (state == closed_) return false;"});
  add({.what = if_equal, .value = shut, .to = at("slow"), .name = "wait", .code = "if (state == shut_) continue;"});
  add({.what = if_other, .value = guarded, .to = at("try"), .code = "if (state != guarded_) {"});
  add({.what = exchange,
       .which = spin,
       .value = 1,
       .code = "if (lock_.exchange(1, std::memory_order_acquire)) continue;"});
  add({.what = if_equal, .value = 1, .to = at("slow"), .name = "take"});
  add({.what = load, .which = state, .code = "if (state_.load(std::memory_order_relaxed) == guarded_) return true;"});
  add({.what = if_equal, .value = guarded, .to = at("in")});
  add({.what = store_release,
       .which = spin,
       .value = 0,
       .name = "give back",
       .code = "lock_.store(0, std::memory_order_release);"});
  add({.what = jump, .to = at("slow")});

  add({.what = enter, .label = at("in")});
  add({.what = touch, .which = data});
  add({.what = leave});
  add({.what = load, .which = state, .code = "if (state_.load(std::memory_order_relaxed) == guarded_)"});
  add({.what = if_other, .value = guarded, .to = at("leave")});
  add({.what = store_release,
       .which = spin,
       .value = 0,
       .name = "unlock",
       .code = "lock_.store(0, std::memory_order_release);"});
  add({.what = jump, .to = at("done")});
  add({.what = store_release, .which = busy, .value = 0, .name = "leave", .code = "leave();", .label = at("leave")});
  add({.what = nothing, .label = at("done")});
}

struct reclaim {
  std::vector<std::uint8_t> gates{0};
  bool needs_barrier = true;  // not where all gates are its own, or guarded
  bool for_good = false;
};

// shut_gates: its constructor, what is done inside, its destructor.
void add_reclaimer_turn(program& p, const reclaim& r, const std::string& turn) {
  using enum op;
  using enum variable;
  p.push_back({.what = take_mutex});
  for (const std::uint8_t g : r.gates) {
    const std::string each = turn + std::to_string(g);
    const auto add = [&](instruction i) {
      i.gate = g;
      p.push_back(std::move(i));
    };
    add({.what = load,
         .which = state,
         .code = "const std::uint32_t state = g->state_.load(std::memory_order_relaxed);"});
    add({.what = if_equal,
         .value = closed,
         .to = each + "next",
         .name = "skip closed",
         .code = "if (state == gate::closed_) continue;"});
    add({.what = if_other, .value = guarded, .to = each + "open", .code = "if (state == gate::guarded_) {"});
    add({.what = exchange,
         .which = spin,
         .value = 1,
         .code = "while (g->lock_.exchange(1, std::memory_order_acquire)) ::sched_yield();",
         .label = each + "lock"});
    add({.what = if_equal, .value = 1, .to = each + "lock", .name = "reclaimer locks"});
    add({.what = jump, .to = each + "next"});
    add({.what = store,
         .which = state,
         .value = shut,
         .name = "shut",
         .code = "g->state_.store(gate::shut_, std::memory_order_relaxed);",
         .label = each + "open"});
    add({.what = nothing, .label = each + "next"});
  }
  if (r.needs_barrier) {
    p.push_back({.what = barrier, .name = "barrier", .code = "if (!all_mine) barrier_everywhere();"});
    p.push_back({.what = barrier_end, .name = "barrier"});
  }
  for (const std::uint8_t g : r.gates) {
    const std::string each = turn + std::to_string(g);
    p.push_back({.what = load,
                 .which = busy,
                 .gate = g,
                 .code = "while (g->busy_.load(std::memory_order_acquire)) ::sched_yield();",
                 .label = each + "busy"});
    p.push_back({.what = if_other, .gate = g, .value = 0, .to = each + "busy", .name = "wait for busy"});
  }
  for (const std::uint8_t g : r.gates) p.push_back({.what = enter, .gate = g, .value = 1});
  for (const std::uint8_t g : r.gates) {
    if (!r.for_good) {
      p.push_back({.what = touch, .which = data, .gate = g});
      continue;
    }
    p.push_back({.what = store, .which = state, .gate = g, .value = closed, .code = "state_.store(closed_"});
    p.push_back({.what = op::close_for_good, .gate = g});
  }
  for (const std::uint8_t g : r.gates) p.push_back({.what = leave, .gate = g});
  for (const std::uint8_t g : r.gates) {
    const std::string each = turn + std::to_string(g);
    p.push_back({.what = load,
                 .which = state,
                 .gate = g,
                 .code = "if (g->state_.load(std::memory_order_relaxed) == gate::shut_)"});
    p.push_back({.what = if_other, .gate = g, .value = shut, .to = each + "unlock"});
    p.push_back({.what = store_release,
                 .which = state,
                 .gate = g,
                 .value = open,
                 .name = "open",
                 .code = "g->state_.store(gate::open_, std::memory_order_release);"});
    p.push_back({.what = store_release,
                 .which = spin,
                 .gate = g,
                 .value = 0,
                 .name = "reclaimer unlocks",
                 .code = "g->lock_.store(0, std::memory_order_release);",
                 .label = each + "unlock"});
  }
  p.push_back({.what = drop_mutex});
}

program owner(std::uint8_t gate, unsigned turns) {
  program p;
  for (unsigned i = 0; i < turns; ++i) add_owner_turn(p, gate, "o" + std::to_string(i));
  return p;
}

program reclaimer(const std::vector<reclaim>& turns) {
  program p;
  for (std::size_t i = 0; i < turns.size(); ++i) add_reclaimer_turn(p, turns[i], "r" + std::to_string(i));
  return p;
}

program both(program first, const program& then) {
  first.insert(first.end(), then.begin(), then.end());
  return first;
}

// --- the scenes -----------------------------------------------------------------------------------------------------

struct scene {
  const char* what;
  std::vector<program> threads;
};

std::vector<scene> scenes(std::uint8_t first_state) {
  const bool is_open = first_state == open;
  const reclaim theirs{.needs_barrier = is_open}, mine{.needs_barrier = false};
  const reclaim last{.needs_barrier = is_open, .for_good = true}, each{.gates = {0, 1}, .needs_barrier = is_open};
  return {
      {"an owner and a reclaimer", {owner(0, 2), reclaimer({theirs, theirs})}},
      {"the gate is closed for good", {owner(0, 2), reclaimer({theirs, last, theirs})}},
      {"an owner, who reclaims too, and a reclaimer",
       {both(owner(0, 1), both(reclaimer({mine}), owner(0, 1))), reclaimer({theirs})}},
      {"an owner and two reclaimers", {owner(0, 1), reclaimer({theirs}), reclaimer({theirs})}},
      {"two owners that reclaim each other",
       {both(owner(0, 1), reclaimer({each})), both(owner(1, 1), reclaimer({each}))}},
  };
}

using mutation = std::function<void(program&)>;

// The first finding in any scene.
std::string finding_in(std::uint8_t first_state, memory kind, const mutation& mutate = {}) {
  for (const scene& s : scenes(first_state)) {
    machine_options o{.threads = s.threads, .kind = kind, .first_state = first_state};
    for (program& p : o.threads)
      if (mutate) mutate(p);
    const exploration got = explore(o);
    if (got.finding.empty()) continue;
    std::string text = std::string(s.what) + ": " + got.finding + "\n";
    for (const std::string& step : got.path) text += "  " + step + "\n";
    return text;
  }
  return {};
}

mutation without(const std::string& name) {
  return [name](program& p) {
    for (instruction& i : p)
      if (i.name == name) i.what = op::nothing;
  };
}

// A step with a release becomes one without.
mutation relaxed(const std::string& name) {
  return [name](program& p) {
    for (instruction& i : p)
      if (i.name == name) i.what = op::store;
  };
}

mutation without_look(std::uint8_t from) {
  return [from](program& p) {
    for (std::size_t i = 0; i + 1 < p.size(); ++i)
      if (p[i].what == op::if_equal && p[i].value == from && p[i].to.ends_with("in")) p[i].what = op::jump;
  };
}

// What a step does and the one before it, the other way round.
mutation swapped(const std::string& name) {
  return [name](program& p) {
    for (std::size_t i = 0; i + 1 < p.size(); ++i) {
      if (p[i].name != name) continue;
      std::swap(p[i], p[i + 1]);
      std::swap(p[i].label, p[i + 1].label);
      ++i;
    }
  };
}

bool is_found(const std::string& finding, const char* what) { return finding.find(what) != std::string::npos; }

std::string source(const char* path) {
  std::ifstream in(std::string(WEIR_SOURCE_DIR) + path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST_CASE("gate model: never two inside, and nobody waits for ever, in any interleaving") {
  for (const memory kind : {memory::tso, memory::weak}) {
    for (const std::uint8_t first : {open, guarded}) {
      for (const scene& s : scenes(first)) {
        const exploration got = explore({.threads = s.threads, .kind = kind, .first_state = first});
        INFO(s.what << ", " << (kind == memory::tso ? "x86" : "weak") << ", " << (first == open ? "open" : "guarded")
                    << ", " << got.states << " states");
        std::string path;
        for (const std::string& step : got.path) path += "  " + step + "\n";
        INFO(path);
        CHECK(got.finding == "");
        CHECK(got.states > 100);
      }
    }
  }
}

TEST_CASE("gate model: a step left out of the asymmetric gate is found") {
  const auto found = [](const mutation& m, memory kind = memory::tso) { return finding_in(open, kind, m); };
  CHECK(is_found(found(without("raise")), "two inside"));
  CHECK(is_found(found(without_look(open)), "two inside"));
  CHECK(is_found(found(swapped("raise")), "two inside"));
  CHECK(is_found(found(without("lower")), "go round for ever"));
  CHECK(is_found(found(without("leave")), "go round for ever"));
  CHECK(is_found(found(without("wait")), "go round for ever"));
  CHECK(is_found(found(without("closed")), "go round for ever"));
  CHECK(is_found(found(without("shut")), "two inside"));
  CHECK(is_found(found(without("barrier")), "two inside"));
  CHECK(is_found(found(without("wait for busy")), "two inside"));
  CHECK(is_found(found(without("open")), "go round for ever"));
  CHECK(is_found(found(without("skip closed")), "inside a closed gate"));
  CHECK(is_found(found(relaxed("leave"), memory::weak), "not seen"));
  CHECK(is_found(found(relaxed("open"), memory::weak), "not seen"));
}

TEST_CASE("gate model: a step left out of the guarded gate is found") {
  const auto found = [](const mutation& m, memory kind = memory::tso) { return finding_in(guarded, kind, m); };
  CHECK(is_found(found(without("take")), "two inside"));
  CHECK(is_found(found(without("reclaimer locks")), "two inside"));
  CHECK(is_found(found(without("unlock")), "go round for ever"));
  CHECK(is_found(found(without("reclaimer unlocks")), "go round for ever"));
  CHECK(is_found(found(without_look(guarded)), "inside a closed gate"));
  CHECK(is_found(found(without("closed")), "go round for ever"));
  CHECK(is_found(found(relaxed("unlock"), memory::weak), "not seen"));
  CHECK(is_found(found(relaxed("reclaimer unlocks"), memory::weak), "not seen"));
}

// A step of the model that the source no longer has, or has in another order, is a model of something else.
TEST_CASE("gate model: its steps are the statements of the source") {
  const std::string header = source("/lib/cache/gate.hpp"), body = source("/lib/cache/gate.cpp");
  REQUIRE(!header.empty());
  REQUIRE(!body.empty());
  for (const program& p : {owner(0, 1), reclaimer({reclaim{}})}) {
    std::size_t in_header = 0, in_body = 0;
    for (const instruction& i : p) {
      if (i.code.empty()) continue;
      INFO(i.code);
      const std::size_t a = header.find(i.code, in_header), b = body.find(i.code, in_body);
      CHECK((a != std::string::npos || b != std::string::npos));
      if (b != std::string::npos)
        in_body = b + 1;
      else if (a != std::string::npos)
        in_header = a + 1;
    }
  }
}

}  // namespace
}  // namespace weir::test
