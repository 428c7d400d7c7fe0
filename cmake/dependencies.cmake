# Every third-party library of the build, as imported targets. Each is a Debian package listed in packages.txt. Installed
# with the library, whose users need the same.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(ZLIB REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Protobuf REQUIRED)

# Libraries whose packages carry no usable CMake configuration.
function(esmm_import name header)
  find_path(${name}_INCLUDE ${header} REQUIRED)
  add_library(esmm::${name} INTERFACE IMPORTED)
  target_include_directories(esmm::${name} SYSTEM INTERFACE ${${name}_INCLUDE})
  foreach(library ${ARGN})
    find_library(${name}_${library} ${library} REQUIRED)
    target_link_libraries(esmm::${name} INTERFACE ${${name}_${library}})
  endforeach()
endfunction()
esmm_import(zstd zstd.h zstd)
esmm_import(xxhash xxhash.h xxhash)
esmm_import(isal isa-l/crc.h isal)
esmm_import(xsmm libxsmm.h xsmm xsmmnoblas)  # static; this order resolves its symbols, its pkg-config file does not
target_link_libraries(esmm::xsmm INTERFACE Threads::Threads rt ${CMAKE_DL_LIBS} m)

# ONNX's message classes, for `export`: found, not required.
find_package(ONNX QUIET CONFIG)
set(ESMM_WITH_ONNX OFF)
if(TARGET onnx_proto)
  set(ESMM_WITH_ONNX ON)
else()
  message(STATUS "ONNX: not found (libonnx-dev): building without export")
endif()
