# SPDX-License-Identifier: Apache-2.0
find_package(Catch2 3 REQUIRED)
include(Catch)

set(WEIR_SHARED_DIR "" CACHE PATH "Full-size traces and other data that the repository does not hold; tests do without")
if(NOT WEIR_SHARED_DIR AND EXISTS ${PROJECT_SOURCE_DIR}/../shared/traces)
  get_filename_component(WEIR_SHARED_DIR ${PROJECT_SOURCE_DIR}/../shared ABSOLUTE)
endif()

# pip install --target build/rmm librmm-cu13
set(WEIR_RMM_ROOT "" CACHE PATH "Where pip installed librmm, for the tests of weir/adapters/mr.hpp; build/rmm by itself")
if(NOT WEIR_RMM_ROOT AND EXISTS ${PROJECT_SOURCE_DIR}/build/rmm/librmm)
  set(WEIR_RMM_ROOT ${PROJECT_SOURCE_DIR}/build/rmm)
endif()

find_program(WEIR_VALGRIND valgrind)

# weir_add_test(LEVEL NAME SOURCES file... [LIBS target...])
#
# Makes the program LEVEL_NAME from Catch2 cases named `subject: fact`; each is the CTest `LEVEL.subject: fact` with the
# label LEVEL. Levels that test the inside see the headers of lib/. Those that need no GPU are also run whole under
# valgrind by tools/dev/valgrind. The programs find the sources, and the shared data if there are any, by
# WEIR_SOURCE_DIR and WEIR_SHARED_DIR.
function(weir_add_test level name)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "SOURCES;LIBS")
  if(NOT arg_SOURCES OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "weir_add_test(${level} ${name}): SOURCES missing, or unknown: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  set(target ${level}_${name})
  set(sees_inside ON)
  if(level MATCHES "^(gpu|cli|abi|package)$")
    set(sees_inside OFF)
  endif()
  get_target_property(library_type weir TYPE)
  if(sees_inside AND library_type STREQUAL "SHARED_LIBRARY")
    message(STATUS "weir: ${target} is left out; a shared library hides what it tests")
    return()
  endif()
  add_executable(${target} ${arg_SOURCES})
  weir_compile_options(${target})
  target_link_libraries(${target} PRIVATE weir::weir Catch2::Catch2WithMain ${arg_LIBS})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  if(sees_inside)
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/lib)
  endif()
  target_compile_definitions(${target} PRIVATE WEIR_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                               WEIR_SHARED_DIR="${WEIR_SHARED_DIR}")
  # A case that skips itself is shown as skipped: Catch2 leaves with 4.
  set(properties LABELS ${level} SKIP_RETURN_CODE 4 TIMEOUT 300)
  if(level STREQUAL "gpu")
    list(APPEND properties RESOURCE_LOCK gpu)  # one program on the device at a time: some fill it
  endif()
  catch_discover_tests(${target} TEST_PREFIX "${level}." PROPERTIES ${properties})
  if(level MATCHES "^(unit|property|sim)$")
    weir_add_valgrind_test(${target})
  endif()
endfunction()

# Runs only under `ctest -C Valgrind`, so never by default.
function(weir_add_valgrind_test target)
  set(test "valgrind.${target}: no leak and no error")
  if(WEIR_VALGRIND)
    add_test(NAME ${test} CONFIGURATIONS Valgrind
             COMMAND ${WEIR_VALGRIND} --quiet --error-exitcode=1 --leak-check=full
                     --errors-for-leak-kinds=definite,possible $<TARGET_FILE:${target}>)
  else()
    add_test(NAME ${test} CONFIGURATIONS Valgrind COMMAND ${CMAKE_COMMAND} -E echo "valgrind is not installed")
    set_tests_properties(${test} PROPERTIES SKIP_REGULAR_EXPRESSION "valgrind is not installed")
  endif()
  set_tests_properties(${test} PROPERTIES LABELS valgrind TIMEOUT 1800 SKIP_RETURN_CODE 4)
endfunction()
