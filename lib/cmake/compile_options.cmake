# SPDX-License-Identifier: Apache-2.0

# Warnings for our own targets; nobody who links weir inherits them. They are errors where CMAKE_COMPILE_WARNING_AS_ERROR
# is on, as in the preset dev.
function(weir_compile_options target)
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wconversion;-Wshadow>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # "text" + std::string warns falsely (GCC bug 105651).
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
  endif()
  if(WEIR_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC 12 takes its own instrumentation of std::function for a use before initialisation.
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized>)
  endif()
endfunction()

# The one global flag there is: a sanitizer has to see everything.
if(WEIR_SANITIZE)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${WEIR_SANITIZE}>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=all>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>)
  add_link_options(-fsanitize=${WEIR_SANITIZE})
endif()

# A shared library's symbols: namespace weir and weir_… alone. Hidden visibility does not reach the templates of the
# standard library, nor the CUDA runtime linked in.
function(weir_export_only_weir target)
  set(map ${PROJECT_SOURCE_DIR}/lib/cmake/exports.map)
  target_link_options(${target} PRIVATE -Wl,--version-script=${map})
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${map})
endfunction()
