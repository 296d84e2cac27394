// SPDX-License-Identifier: Apache-2.0
//
// A pool's options as text, for command lines, files and the environment.
//
//     auto options = weir::parse_pool_options("bytes_max=8GiB,trim=watermark(2GiB,4GiB)+decay(500ms),background=10ms");
//     if (!options) log(options.error().message());
//
// The text is KEY=VALUE, separated by commas, blanks ignored; each key once. Keys are the names of pool_options'
// fields, those of `order` as order.recycle and so on; callbacks and the observer have none. Values:
//
//     bytes     4096, 64KiB, 1.5GiB; K, KB and KiB are all 1024, and so on to T; none: no limit (bytes_max,
//     soft_bytes_max) time      250us, 10ms, 2s, 1.5min, 1h; never without a unit, but for 0 share     0.02 flag      1
//     0, true false, on off, yes no trim      retain, release_above(BYTES), watermark(LOW,HIGH), decay(TIME),
//     idle(TIME), on_pressure(BYTES),
//               defragment_above(RATIO); several joined by +
//
// An error is errc::invalid_argument and names the key, the value and what is accepted. Options that contradict each
// other are found here as far as that needs no device, the rest by pool::make.
#pragma once

#include <string>
#include <string_view>

#include "weir/export.hpp"
#include "weir/pool_options.hpp"
#include "weir/result.hpp"

namespace weir {

// `base` with what the text says. An empty text says nothing.
WEIR_EXPORT result<pool_options> parse_pool_options(std::string_view text, pool_options base = {});

// What differs from `base`, such that parse_pool_options(to_text(o, base), base) is o again.
WEIR_EXPORT std::string to_text(const pool_options& o, const pool_options& base = {});
WEIR_EXPORT std::string to_text(const trim_policy&);

// The same from the environment's WEIR_OPTIONS; `base` where there is none. The library looks at the environment here
// and nowhere else, and a pool never does by itself.
WEIR_EXPORT result<pool_options> options_from_environment(pool_options base = {});

}  // namespace weir
