// SPDX-License-Identifier: Apache-2.0
//
// Stands in for ONNX Runtime's header of this name where that is missing: OrtAllocator as each version has it, and what
// weir/adapters/onnxruntime.hpp calls of OrtApi, written after the documentation. The order of OrtApi's members is not
// the real one's, so nothing but a test may use it.
#pragma once

#include <cstddef>
#include <cstdint>

#ifndef ORT_API_VERSION
#define ORT_API_VERSION 25
#endif
#define WEIR_STAND_IN_ONNXRUNTIME 1

struct OrtMemoryInfo;
struct OrtStatus;
struct OrtKeyValuePairs;
struct OrtSyncStream;

enum OrtErrorCode { ORT_OK, ORT_FAIL };
enum OrtAllocatorType { OrtDeviceAllocator = 0, OrtArenaAllocator = 1 };
enum OrtMemType { OrtMemTypeDefault = 0 };

struct OrtAllocator {
  std::uint32_t version;
  void* (*Alloc)(OrtAllocator*, std::size_t);
  void (*Free)(OrtAllocator*, void*);
  const OrtMemoryInfo* (*Info)(const OrtAllocator*);
#if ORT_API_VERSION >= 18
  void* (*Reserve)(OrtAllocator*, std::size_t);
#endif
#if ORT_API_VERSION >= 23
  OrtStatus* (*GetStats)(const OrtAllocator*, OrtKeyValuePairs**) noexcept;
  void* (*AllocOnStream)(OrtAllocator*, std::size_t, OrtSyncStream*);
#endif
#if ORT_API_VERSION >= 25
  OrtStatus* (*Shrink)(OrtAllocator*) noexcept;
#endif
};

struct OrtApi {
  OrtStatus* (*CreateMemoryInfo)(const char* name, OrtAllocatorType, int device, OrtMemType,
                                 OrtMemoryInfo** out) noexcept;
  void (*ReleaseMemoryInfo)(OrtMemoryInfo*);
  OrtStatus* (*CreateStatus)(OrtErrorCode, const char* message) noexcept;
  void (*ReleaseStatus)(OrtStatus*);
#if ORT_API_VERSION >= 22
  void (*CreateKeyValuePairs)(OrtKeyValuePairs** out);
  void (*AddKeyValuePair)(OrtKeyValuePairs*, const char* key, const char* value);
#endif
#if ORT_API_VERSION >= 23
  void* (*SyncStream_GetHandle)(OrtSyncStream*) noexcept;
#endif
};
