# Every third-party library of the build, as imported targets. Each is a Debian package listed in packages.txt.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(ZLIB REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(CLI11 REQUIRED)

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
esmm_import(xsmm libxsmm.h xsmm xsmmnoblas)  # static; this order resolves its symbols, its pkg-config file does not
target_link_libraries(esmm::xsmm INTERFACE Threads::Threads rt ${CMAKE_DL_LIBS} m)

# CUDA is found, never required.
find_program(ESMM_NVCC nvcc HINTS /usr/local/cuda/bin $ENV{CUDA_HOME}/bin)
if(ESMM_CUDA STREQUAL "OFF")
  message(STATUS "CUDA: off (ESMM_CUDA=OFF)")
elseif(ESMM_NVCC)
  message(STATUS "CUDA: ${ESMM_NVCC} found, but this version has no CUDA backend yet: building the CPU backend")
elseif(ESMM_CUDA STREQUAL "ON")
  message(FATAL_ERROR "CUDA: ESMM_CUDA=ON but nvcc was not found. Put it on PATH or set CUDA_HOME.")
else()
  message(STATUS "CUDA: nvcc not found: building the CPU backend")
endif()

# NVTX, whose ranges Nsight Systems shows (docs/profiling.md): headers of the CUDA toolkit, no library.
if(ESMM_CUDA STREQUAL "OFF")
  unset(ESMM_NVTX_INCLUDE CACHE)
else()
  find_path(ESMM_NVTX_INCLUDE nvtx3/nvToolsExt.h
    HINTS $ENV{CUDA_HOME}/include /usr/local/cuda/include /usr/local/cuda/targets/x86_64-linux/include)
endif()
if(ESMM_NVTX_INCLUDE)
  message(STATUS "NVTX: ${ESMM_NVTX_INCLUDE}")
else()
  message(STATUS "NVTX: not found or CUDA is off: no ranges for profilers")
endif()
