# SPDX-License-Identifier: Apache-2.0
#
# The target weir_log: spdlog and fmt for the command line. Debian has them as shared libraries only, so a program that is
# to run elsewhere takes both header-only.
find_package(spdlog REQUIRED)
add_library(weir_log INTERFACE)
if(WEIR_HEADER_ONLY_LOG)
  find_package(fmt REQUIRED)
  target_include_directories(weir_log SYSTEM INTERFACE
    $<TARGET_PROPERTY:spdlog::spdlog_header_only,INTERFACE_INCLUDE_DIRECTORIES>)
  target_compile_definitions(weir_log INTERFACE SPDLOG_FMT_EXTERNAL)
  target_link_libraries(weir_log INTERFACE fmt::fmt-header-only Threads::Threads)
else()
  target_link_libraries(weir_log INTERFACE spdlog::spdlog)
endif()
