// SPDX-License-Identifier: Apache-2.0
//
// A machine small enough to be run in every way it can: threads that execute a few instructions each, on shared memory
// that their stores reach late. explore() visits every state that any interleaving leads to.
//
// A store goes into its thread's buffer, which the thread itself sees at once and the others when it is committed:
//   - memory::tso, as x86 has it: in the order of the program;
//   - memory::weak: in any order, but for stores to one variable, and for a release, which comes after all before it.
// An exchange reaches memory at once, behind what it must come after. membarrier(2) empties the buffer of each other
// thread at a moment of its own between its begin and its end. Loads happen where they stand: in what is modelled each
// is an acquire, or what depends on it follows.
//
// What is found: two threads inside one gate; one inside a gate that was closed for good; one that does not see all
// that those before it wrote there; a state that nobody can leave before all are at their end; and threads that go
// round for ever although each is given its turns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace weir::test {

enum class memory : std::uint8_t { tso, weak };

enum class op : std::uint8_t {
  nothing,
  store,
  store_release,
  load,      // into the thread's register
  exchange,  // with `value`; what was there into the register
  if_equal,  // the register with `value`
  if_other,  // than `value`
  jump,
  barrier,      // membarrier(2) begins
  barrier_end,  // and has reached everybody
  take_mutex,   // the one that reclaimers have among them
  drop_mutex,
  enter,           // inside the gate from here on; value 1: a reclaimer, who may enter a closed one
  touch,           // reads and writes what the gate guards, with plain loads and stores
  close_for_good,  // the gate was closed for good
  leave,
};

enum class variable : std::uint8_t { busy, state, spin, data };  // spin: lock_
inline constexpr std::size_t gates_max = 2;

struct instruction {
  op what = op::nothing;
  variable which = variable::busy;
  std::uint8_t gate = 0;
  std::uint8_t value = 0;
  std::string to{};    // a label
  std::string name{};  // what a mutant calls it
  std::string code{};  // the statement of lib/cache/gate it stands for
  std::string label{};
};

using program = std::vector<instruction>;

struct machine_options {
  std::vector<program> threads{};  // three at most
  memory kind = memory::tso;
  std::uint8_t first_state = 0;  // of each gate
};

struct exploration {
  std::string finding{};            // empty: none
  std::vector<std::string> path{};  // to it
  std::size_t states = 0;
};

exploration explore(const machine_options&);

}  // namespace weir::test
