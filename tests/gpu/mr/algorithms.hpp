// SPDX-License-Identifier: Apache-2.0
//
// Algorithms of Thrust and CUB that take their temporary memory from a pool, on data whose results are known. Each
// answers whether the results were right; all work is on `stream`, which is synchronised before they return.
#pragma once

#include <cstddef>
#include <driver_types.h>
#include <memory>

#include "weir/pool.hpp"

namespace weir::test {

// The version of CCCL they were compiled with: CCCL_VERSION.
int cccl_version();

// thrust::sort and thrust::reduce, through weir::mr::stream_allocator.
bool thrust_sorts(const std::shared_ptr<pool>&, cudaStream_t stream, std::size_t count);
// The two calls of cub::DeviceReduce::Sum, the buffer between from weir::mr::resource.
bool cub_sums(const std::shared_ptr<pool>&, cudaStream_t stream, std::size_t count);
// The one call that newer CCCL has, which takes the resource itself: CUB allocates. Same as cub_sums before.
bool cub_sums_by_itself(const std::shared_ptr<pool>&, cudaStream_t stream, std::size_t count);

}  // namespace weir::test
