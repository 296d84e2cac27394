// SPDX-License-Identifier: Apache-2.0
#include "unit/cache/gate_model.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace weir::test {

namespace {

constexpr std::size_t threads_max = 3, buffer_max = 4, variables = 4 * gates_max;
constexpr std::uint8_t nobody = 0xff;

struct pending_store {
  std::uint8_t cell, value, is_release;
};

// Plain bytes, so that equal states are equal bytes.
struct machine {
  std::array<std::uint8_t, variables> cells{};
  std::array<std::uint8_t, gates_max> touched{}, is_closed{}, inside{};  // what is true, whatever threads see
  std::uint8_t holder = nobody;                                          // of the mutex
  std::uint8_t unreached = 0;  // threads that a membarrier has yet to reach, as bits
  struct thread {
    std::uint8_t at = 0, seen = 0, stores = 0;
    std::array<pending_store, buffer_max> buffer{};
  };
  std::array<thread, threads_max> threads{};
};
static_assert(sizeof(machine) == variables + 3 * gates_max + 2 + threads_max * (3 + 3 * buffer_max));

std::uint8_t cell_of(const instruction& i) {
  return static_cast<std::uint8_t>(static_cast<std::size_t>(i.which) * gates_max + i.gate);
}

// Who took a step: a thread, its buffer, or the membarrier that reached it.
enum class agent : std::uint8_t { thread, buffer, barrier };

struct edge {
  std::uint32_t to;
  agent who;
  std::uint8_t thread;
};

class explorer {
 public:
  explicit explorer(const machine_options& o) : options_(o) {
    for (const program& p : o.threads) {
      std::map<std::string, std::uint8_t> at;
      for (std::size_t i = 0; i < p.size(); ++i)
        if (!p[i].label.empty()) at[p[i].label] = static_cast<std::uint8_t>(i);
      auto& to = targets_.emplace_back();
      for (const instruction& i : p) to.push_back(i.to.empty() ? 0 : at.at(i.to));
    }
  }

  exploration run() {
    machine first;
    for (std::size_t g = 0; g < gates_max; ++g)
      first.cells[static_cast<std::size_t>(variable::state) * gates_max + g] = options_.first_state;
    visit(first, 0, {});
    for (std::uint32_t i = 0; i < states_.size() && result_.finding.empty(); ++i) expand(i);
    if (result_.finding.empty()) find_rounds();
    result_.states = states_.size();
    return result_;
  }

 private:
  const instruction* next_of(const machine& m, std::size_t t) const {
    const program& p = options_.threads[t];
    return m.threads[t].at < p.size() ? &p[m.threads[t].at] : nullptr;
  }

  // --- memory -------------------------------------------------------------------------------------------------------

  bool may_commit(const machine::thread& t, std::size_t i) const {
    if (options_.kind == memory::tso || t.buffer[i].is_release) return i == 0;
    return std::none_of(t.buffer.begin(), t.buffer.begin() + static_cast<std::ptrdiff_t>(i),
                        [&](const pending_store& s) { return s.cell == t.buffer[i].cell; });
  }
  static void commit(machine& m, std::size_t who, std::size_t i) {
    machine::thread& t = m.threads[who];
    m.cells[t.buffer[i].cell] = t.buffer[i].value;
    std::copy(t.buffer.begin() + static_cast<std::ptrdiff_t>(i) + 1, t.buffer.end(),
              t.buffer.begin() + static_cast<std::ptrdiff_t>(i));
    t.buffer[--t.stores] = {};
  }
  static void drain(machine& m, std::size_t who) {
    while (m.threads[who].stores) commit(m, who, 0);
  }
  // What an exchange must come after: everything, or only earlier stores to its variable and what those wait for.
  void drain_for(machine& m, std::size_t who, std::uint8_t cell) const {
    if (options_.kind == memory::tso) return drain(m, who);
    const machine::thread& t = m.threads[who];
    for (std::size_t last = t.stores; last > 0; --last) {
      if (t.buffer[last - 1].cell != cell) continue;
      for (std::size_t i = 0; i < last; ++i) commit(m, who, 0);
      return;
    }
  }
  static void put(machine& m, std::size_t who, std::uint8_t cell, std::uint8_t value, bool is_release) {
    machine::thread& t = m.threads[who];
    t.buffer[t.stores++] = {cell, value, is_release};
  }
  static std::uint8_t read(const machine& m, std::size_t who, std::uint8_t cell) {
    const machine::thread& t = m.threads[who];
    for (std::size_t i = t.stores; i > 0; --i)
      if (t.buffer[i - 1].cell == cell) return t.buffer[i - 1].value;
    return m.cells[cell];
  }

  // --- steps --------------------------------------------------------------------------------------------------------

  bool is_enabled(const machine& m, std::size_t who) const {
    const instruction* i = next_of(m, who);
    if (!i) return false;
    switch (i->what) {
      case op::store:
      case op::store_release:
      case op::touch:
      case op::drop_mutex: return m.threads[who].stores < buffer_max;
      case op::take_mutex: return m.holder == nobody;
      case op::barrier_end: return m.unreached == 0;
      default: return true;
    }
  }

  void step(machine& m, std::size_t who) {
    const instruction& i = *next_of(m, who);
    machine::thread& t = m.threads[who];
    const std::uint8_t target = targets_[who][t.at++];
    const auto bit = static_cast<std::uint8_t>(1u << who);
    switch (i.what) {
      case op::store: return put(m, who, cell_of(i), i.value, false);
      case op::store_release: return put(m, who, cell_of(i), i.value, true);
      case op::load: t.seen = read(m, who, cell_of(i)); return;
      case op::exchange:
        drain_for(m, who, cell_of(i));
        t.seen = std::exchange(m.cells[cell_of(i)], i.value);
        return;
      case op::if_equal: t.at = t.seen == i.value ? target : t.at; return;
      case op::if_other: t.at = t.seen != i.value ? target : t.at; return;
      case op::jump: t.at = target; return;
      case op::barrier:
        drain(m, who);
        m.unreached = static_cast<std::uint8_t>(((1u << options_.threads.size()) - 1) & ~unsigned{bit});
        return;
      case op::barrier_end: return drain(m, who);
      case op::take_mutex: m.holder = static_cast<std::uint8_t>(who); return drain_if_tso(m, who);
      case op::drop_mutex:
        drain(m, who);  // a release, and nobody sees it before the next has the mutex
        m.holder = nobody;
        return;
      case op::enter:
        m.inside[i.gate] = static_cast<std::uint8_t>(m.inside[i.gate] | bit);
        if (m.inside[i.gate] != bit) found("two inside");
        if (m.is_closed[i.gate] && i.value == 0) found("inside a closed gate");
        return;
      case op::touch:
        if (read(m, who, cell_of(i)) != m.touched[i.gate]) found("what was written inside is not seen");
        return put(m, who, cell_of(i), ++m.touched[i.gate], false);
      case op::close_for_good: m.is_closed[i.gate] = 1; return;
      case op::leave: m.inside[i.gate] = static_cast<std::uint8_t>(m.inside[i.gate] & ~bit); return;
      case op::nothing: return;
    }
  }
  void drain_if_tso(machine& m, std::size_t who) const {
    if (options_.kind == memory::tso) drain(m, who);
  }

  void expand(std::uint32_t from) {
    const machine now = states_[from];
    for (std::size_t t = 0; t < options_.threads.size() && result_.finding.empty(); ++t) {
      const auto who = static_cast<std::uint8_t>(t);
      if (is_enabled(now, t)) {
        machine next = now;
        step(next, t);
        visit(next, from, {0, agent::thread, who});
      }
      for (std::size_t i = 0; i < now.threads[t].stores; ++i) {
        if (!may_commit(now.threads[t], i)) continue;
        machine next = now;
        commit(next, t, i);
        visit(next, from, {0, agent::buffer, who});
      }
      if (now.unreached & (1u << t)) {
        machine next = now;
        drain(next, t);
        next.unreached = static_cast<std::uint8_t>(next.unreached & ~(1u << t));
        visit(next, from, {0, agent::barrier, who});
      }
    }
    if (edges_[from].empty() && result_.finding.empty() && !is_over(now)) found("nobody can go on"), tell(from);
  }

  bool is_over(const machine& m) const {
    for (std::size_t t = 0; t < options_.threads.size(); ++t)
      if (next_of(m, t)) return false;
    return true;
  }

  void visit(const machine& m, std::uint32_t from, edge by) {
    const std::string_view bytes(reinterpret_cast<const char*>(&m), sizeof m);
    const auto [at, is_new] = index_.try_emplace(std::string(bytes), static_cast<std::uint32_t>(states_.size()));
    if (is_new) {
      states_.push_back(m);
      edges_.emplace_back();
      parents_.push_back({from, by.who, by.thread});
    }
    by.to = at->second;
    if (states_.size() > 1) edges_[from].push_back(by);
    if (!result_.finding.empty()) tell(at->second);
  }

  // --- findings -----------------------------------------------------------------------------------------------------

  void found(const char* what) {
    if (result_.finding.empty()) result_.finding = what;
  }

  void tell(std::uint32_t at) {
    result_.path.clear();
    for (; at != 0; at = parents_[at].to) {
      const edge& by = parents_[at];
      std::string text = "thread " + std::to_string(by.thread) + ": ";
      if (by.who == agent::buffer) text += "(a store is committed)";
      if (by.who == agent::barrier) text += "(reached by the barrier)";
      const instruction* i = next_of(states_[by.to], by.thread);
      if (by.who == agent::thread && i) text += i->code.empty() ? i->name : i->code;
      result_.path.insert(result_.path.begin(), text);
    }
  }

  // Strongly connected states that a fair run may stay in: each thread that could always take a step takes some there,
  // each buffer that always has a store commits some, and no barrier is for ever on its way to a thread.
  void find_rounds() {
    std::vector<std::uint32_t> component = components();
    struct seen {
      std::size_t states = 0;
      std::array<std::size_t, threads_max> enabled{}, waiting{}, unreached{};
      std::array<bool, threads_max> steps{}, commits{};
      bool has_edge = false;
      std::uint32_t one = 0;
    };
    std::unordered_map<std::uint32_t, seen> all;
    for (std::uint32_t s = 0; s < states_.size(); ++s) {
      seen& c = all[component[s]];
      ++c.states;
      c.one = s;
      for (std::size_t t = 0; t < options_.threads.size(); ++t) {
        c.enabled[t] += is_enabled(states_[s], t);
        c.waiting[t] += states_[s].threads[t].stores > 0;
        c.unreached[t] += (states_[s].unreached >> t) & 1;
      }
      for (const edge& e : edges_[s]) {
        if (component[e.to] != component[s]) continue;
        c.has_edge = true;
        if (e.who != agent::barrier) (e.who == agent::thread ? c.steps : c.commits)[e.thread] = true;
      }
    }
    for (const auto& [id, c] : all) {
      if (!c.has_edge) continue;
      bool is_fair = true;
      for (std::size_t t = 0; t < options_.threads.size(); ++t)
        is_fair = is_fair && (c.steps[t] || c.enabled[t] < c.states) && (c.commits[t] || c.waiting[t] < c.states) &&
                  c.unreached[t] < c.states;
      if (!is_fair) continue;
      found("they go round for ever");
      return tell(c.one);
    }
  }

  // Tarjan's, without recursion.
  std::vector<std::uint32_t> components() const {
    constexpr std::uint32_t none = UINT32_MAX;
    const std::size_t n = states_.size();
    std::vector<std::uint32_t> order(n, none), low(n, 0), component(n, none), stack, path;
    std::vector<std::size_t> next(n, 0);
    std::uint32_t clock = 0;
    path.push_back(0);
    while (!path.empty()) {
      const std::uint32_t s = path.back();
      if (order[s] == none) {
        order[s] = low[s] = clock++;
        stack.push_back(s);
      }
      if (next[s] < edges_[s].size()) {
        const std::uint32_t to = edges_[s][next[s]++].to;
        if (order[to] == none)
          path.push_back(to);
        else if (component[to] == none)
          low[s] = std::min(low[s], order[to]);
        continue;
      }
      path.pop_back();
      if (!path.empty()) low[path.back()] = std::min(low[path.back()], low[s]);
      if (low[s] != order[s]) continue;
      for (std::uint32_t last = none; last != s; stack.pop_back()) component[last = stack.back()] = s;
    }
    return component;
  }

  const machine_options& options_;
  std::vector<std::vector<std::uint8_t>> targets_;
  std::vector<machine> states_;
  std::vector<std::vector<edge>> edges_;
  std::vector<edge> parents_;  // `to` is the state before
  std::unordered_map<std::string, std::uint32_t> index_;
  exploration result_;
};

}  // namespace

exploration explore(const machine_options& o) { return explorer(o).run(); }

}  // namespace weir::test
