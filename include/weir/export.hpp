// SPDX-License-Identifier: Apache-2.0
#pragma once

// Everything is hidden but what carries WEIR_EXPORT; tests/abi lists what does.
#if defined(__GNUC__)
#define WEIR_EXPORT __attribute__((visibility("default")))
#else
#define WEIR_EXPORT
#endif
