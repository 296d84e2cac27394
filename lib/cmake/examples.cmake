# SPDX-License-Identifier: Apache-2.0

# weir_add_example(NAME SOURCE)
#
# Makes the program NAME from SOURCE. Where tests are built, it is the test `example.NAME: runs`; an example that lacks
# what it needs, a GPU say, leaves with 4 and is shown as skipped.
function(weir_add_example name source)
  add_executable(${name} ${source})
  weir_compile_options(${name})
  target_link_libraries(${name} PRIVATE weir::weir)
  if(WEIR_BUILD_TESTS)
    add_test(NAME "example.${name}: runs" COMMAND ${name})
    set_tests_properties("example.${name}: runs" PROPERTIES LABELS example SKIP_RETURN_CODE 4 TIMEOUT 120)
  endif()
endfunction()
