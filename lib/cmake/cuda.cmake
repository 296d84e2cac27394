# SPDX-License-Identifier: Apache-2.0
#
# Sets WEIR_HAS_CUDA: the CUDA backend is built. And WEIR_HAS_NVCC: .cu files can be, for kernels of tests, tools and
# examples; the library itself has none.
string(TOUPPER "${WEIR_CUDA}" WEIR_CUDA)
if(NOT WEIR_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "WEIR_CUDA is ${WEIR_CUDA}; it must be AUTO, ON or OFF")
endif()

set(WEIR_HAS_CUDA OFF)
set(WEIR_HAS_NVCC OFF)
if(NOT WEIR_CUDA STREQUAL "OFF")
  find_package(CUDAToolkit 12 QUIET)
  if(CUDAToolkit_FOUND AND TARGET CUDA::cudart_static)
    set(WEIR_HAS_CUDA ON)
  elseif(WEIR_CUDA STREQUAL "ON")
    message(FATAL_ERROR "WEIR_CUDA=ON, but no CUDA toolkit of version 12 or newer was found. "
                        "Say where it is with CUDAToolkit_ROOT, or build without: WEIR_CUDA=OFF")
  endif()
endif()

if(WEIR_HAS_CUDA AND (WEIR_BUILD_TESTS OR WEIR_BUILD_EXAMPLES OR WEIR_BUILD_TOOLS) AND NOT WEIR_SANITIZE)
  if(NOT CMAKE_CUDA_COMPILER AND CUDAToolkit_NVCC_EXECUTABLE)
    set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
  endif()
  if(CMAKE_CUDA_COMPILER)
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 80-virtual)  # PTX that any newer device can run; the preset gpu has a real one too
    endif()
    enable_language(CUDA)
    set(CMAKE_CUDA_STANDARD 20)
    # CMake 3.25.1 does not know that nvcc has C++20, and would fall back to 17 without a word.
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
      set(CMAKE_CUDA20_COMPILE_FEATURES cuda_std_20)
      list(APPEND CMAKE_CUDA_COMPILE_FEATURES cuda_std_20)
    endif()
    set(WEIR_HAS_NVCC ON)
  endif()
endif()
message(STATUS "weir: CUDA backend ${WEIR_HAS_CUDA}, CUDA kernels ${WEIR_HAS_NVCC}")
