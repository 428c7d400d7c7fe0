# What `cmake --install` and cpack give: the program, and the static libraries with a package for find_package(esmm)
# (docs/library.md).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(libraries esmm_kernels esmm_io esmm_engine)
if(ESMM_WITH_CUDA)
  list(APPEND libraries esmm_cuda)
endif()
foreach(library ${libraries})
  string(REPLACE esmm_ "" name ${library})
  set_target_properties(${library} PROPERTIES EXPORT_NAME ${name})
  target_compile_features(${library} PUBLIC cxx_std_20)
  target_include_directories(${library} PUBLIC $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/esmm>)
endforeach()

# The libraries of pyarrow's wheel come along: no package has them, and the wheel may go.
set(bundled ${CMAKE_INSTALL_LIBDIR}/esmm)
foreach(library ${ESMM_ARROW_LIBRARIES})
  get_filename_component(name ${library} NAME)
  target_link_libraries(esmm_io INTERFACE $<INSTALL_INTERFACE:$<INSTALL_PREFIX>/${bundled}/${name}>)
  set_target_properties(esmm_gpu PROPERTIES INSTALL_RPATH "$ORIGIN/../${bundled}")
endforeach()
install(FILES ${ESMM_ARROW_LIBRARIES} DESTINATION ${bundled})
install(FILES ${ESMM_ARROW_LICENSES} DESTINATION ${CMAKE_INSTALL_DOCDIR}/arrow)

install(TARGETS esmm_gpu)
# The manual and the shells' completions are what the program says of itself.
set(texts ${PROJECT_BINARY_DIR}/texts)
set(write "COMMAND_ERROR_IS_FATAL ANY OUTPUT_FILE ${texts}")
install(CODE "file(MAKE_DIRECTORY ${texts})
  execute_process(COMMAND $<TARGET_FILE:esmm_gpu> man ${write}/esmm_gpu.1)
  execute_process(COMMAND $<TARGET_FILE:esmm_gpu> completion bash ${write}/esmm_gpu)
  execute_process(COMMAND $<TARGET_FILE:esmm_gpu> completion zsh ${write}/_esmm_gpu)")
install(FILES ${texts}/esmm_gpu.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${texts}/esmm_gpu DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${texts}/_esmm_gpu DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(TARGETS ${libraries} EXPORT esmmTargets)
set(headers ${CMAKE_INSTALL_INCLUDEDIR}/esmm)
install(DIRECTORY kernels io engine DESTINATION ${headers} FILES_MATCHING PATTERN "*.hpp"
  PATTERN cpu EXCLUDE PATTERN cuda EXCLUDE PATTERN cli EXCLUDE PATTERN main EXCLUDE PATTERN onnx EXCLUDE
  PATTERN parquet EXCLUDE)
install(FILES kernels/cuda/options.hpp DESTINATION ${headers}/kernels/cuda)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/esmm)
install(EXPORT esmmTargets NAMESPACE esmm:: DESTINATION ${package})
configure_package_config_file(cmake/esmmConfig.cmake.in esmmConfig.cmake INSTALL_DESTINATION ${package}
  NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(esmmConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/esmmConfig.cmake ${PROJECT_BINARY_DIR}/esmmConfigVersion.cmake
  cmake/dependencies.cmake DESTINATION ${package})
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

# cpack: a Debian package and an archive.
set(CPACK_GENERATOR DEB TZST)
set(CPACK_PACKAGE_NAME esmm-gpu)
set(CPACK_PACKAGE_VENDOR "esmm_gpu authors")
set(CPACK_PACKAGE_CONTACT "esmm_gpu authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
find_program(DPKG_SHLIBDEPS dpkg-shlibdeps)
if(DPKG_SHLIBDEPS)  # the libraries that the program needs become the package's dependencies
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
endif()
include(CPack)
