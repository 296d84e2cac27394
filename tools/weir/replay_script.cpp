// SPDX-License-Identifier: Apache-2.0
#include "replay_script.hpp"

#include <utility>

#include "exit_code.hpp"
#include "replay_script_builder.hpp"

namespace weir::cli {

replay_script load_replay_script(const trace_input_options& options) {
  trace_input in(options);
  replay_script_builder builder(trace_name(options.path));
  while (in.next()) {
    if (auto why = builder.add(in.record(), in.seen()))
      throw bad_input(in.reader().refuse(trace::file_error_kind::limit, std::move(*why)).message());
  }
  return std::move(builder).finish(in.reader());
}

}  // namespace weir::cli
