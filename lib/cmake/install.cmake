# SPDX-License-Identifier: Apache-2.0
#
# What is installed: the command line, the library, its headers, and what find_package(weir) and pkg-config need to find them. A static
# library passes on what it was linked with; that list is read from the target, so that a layer says it in one place.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(WEIR_NEEDS_CUDA OFF)
set(WEIR_NEEDS_ZLIB OFF)
set(WEIR_PC_REQUIRES "")
set(WEIR_PC_LIBS "-pthread")
get_target_property(weir_type weir TYPE)
if(weir_type STREQUAL "STATIC_LIBRARY")
  get_target_property(linked weir LINK_LIBRARIES)
  if(linked MATCHES "CUDA::(cudart[a-z_]*)")
    set(WEIR_NEEDS_CUDA ON)
    list(GET CUDAToolkit_LIBRARY_DIR 0 cudart_dir)
    string(APPEND WEIR_PC_LIBS " -L${cudart_dir} -l${CMAKE_MATCH_1} -ldl -lrt")
  endif()
  if(linked MATCHES "ZLIB::ZLIB")
    set(WEIR_NEEDS_ZLIB ON)
    set(WEIR_PC_REQUIRES "zlib")
  endif()
endif()

set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/weir-config.cmake.in ${PROJECT_BINARY_DIR}/weir-config.cmake
                              INSTALL_DESTINATION ${config_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/weir-config-version.cmake COMPATIBILITY SameMinorVersion)
file(RELATIVE_PATH WEIR_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${CMAKE_CURRENT_LIST_DIR}/weir.pc.in ${PROJECT_BINARY_DIR}/weir.pc @ONLY)

install(TARGETS weir EXPORT weir-targets FILE_SET HEADERS FILE_SET adapters)
install(EXPORT weir-targets NAMESPACE weir:: DESTINATION ${config_dir})
install(FILES ${PROJECT_BINARY_DIR}/weir-config.cmake ${PROJECT_BINARY_DIR}/weir-config-version.cmake
        DESTINATION ${config_dir})
install(FILES ${PROJECT_BINARY_DIR}/weir.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(TARGET weir_cli)
  set_target_properties(weir_cli PROPERTIES INSTALL_RPATH $ORIGIN/../${CMAKE_INSTALL_LIBDIR})
  install(TARGETS weir_cli)
endif()
