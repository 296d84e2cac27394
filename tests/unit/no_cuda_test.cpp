// SPDX-License-Identifier: Apache-2.0
//
// A build without the toolkit (WEIR_CUDA=OFF).
#include <catch2/catch_test_macros.hpp>

#include "weir/backend.hpp"

TEST_CASE("cuda: a build without it says so") {
  CHECK(weir::cuda_device_count().error().code == weir::errc::built_without_cuda);
  CHECK(weir::make_cuda_backend(0).error().code == weir::errc::built_without_cuda);
  CHECK(weir::make_cuda_backend(0).error().message() == "make_cuda_backend: built without CUDA");
}
