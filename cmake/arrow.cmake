# Apache Arrow, for Parquet: found, not required. Of the Python package pyarrow, whose wheel holds the C++ libraries and
# headers (Debian has no package of them), or by Arrow's own CMake packages. Gives esmm::arrow and ESMM_WITH_PARQUET.
set(ESMM_PYARROW "" CACHE STRING
  "Python whose pyarrow brings Apache Arrow, for Parquet; OFF for none. Empty: Arrow's CMake packages, else python3")
set(ESMM_WITH_PARQUET OFF)
set(ESMM_ARROW_LIBRARIES "")  # of the wheel
set(ESMM_ARROW_LICENSES "")   # which go where these go
set(ESMM_ARROW_PACKAGE OFF)   # by CMake's packages
set(arrow_oldest 26)

# Takes Arrow from the Python; where that cannot be, `result` says why.
function(esmm_pyarrow python result)
  execute_process(COMMAND ${python} -c "import pyarrow as p
so = p.cpp_version_info.major * 100 + p.cpp_version_info.minor
print(p.cpp_version, p.get_include(), *[f'{p.get_library_dirs()[0]}/lib{n}.so.{so}' for n in ('parquet', 'arrow')], sep=';')"
    OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  list(POP_FRONT found version include)
  if(NOT found)
    set(${result} "${python} has no pyarrow" PARENT_SCOPE)
  elseif(version VERSION_LESS arrow_oldest)
    set(${result} "the pyarrow of ${python} is ${version}, older than ${arrow_oldest}" PARENT_SCOPE)
  else()
    add_library(esmm::arrow INTERFACE IMPORTED GLOBAL)
    target_include_directories(esmm::arrow SYSTEM INTERFACE ${include})
    target_link_libraries(esmm::arrow INTERFACE ${found})
    set(ESMM_ARROW_LIBRARIES ${found} PARENT_SCOPE)
    file(GLOB licenses ${include}/../../pyarrow-${version}*.dist-info/licenses/*)
    set(ESMM_ARROW_LICENSES ${licenses} PARENT_SCOPE)
    set(${result} "" PARENT_SCOPE)
    message(STATUS "Parquet: Apache Arrow ${version} of ${python}")
  endif()
endfunction()

if(ESMM_PYARROW STREQUAL "OFF")
  message(STATUS "Parquet: off (ESMM_PYARROW=OFF)")
elseif(ESMM_PYARROW)
  set(python ${ESMM_PYARROW})
  if(python MATCHES "/")  # the working directory is another when the build configures itself anew
    get_filename_component(python ${python} ABSOLUTE BASE_DIR ${PROJECT_SOURCE_DIR})
  endif()
  esmm_pyarrow(${python} missing)
  if(missing)
    message(FATAL_ERROR "Parquet: ${missing}. Install it (pip install pyarrow), or leave ESMM_PYARROW empty.")
  endif()
else()
  find_package(Parquet ${arrow_oldest} CONFIG QUIET)
  find_program(ESMM_PYTHON3 python3)
  if(TARGET Parquet::parquet_shared)
    add_library(esmm::arrow INTERFACE IMPORTED GLOBAL)
    target_link_libraries(esmm::arrow INTERFACE Parquet::parquet_shared)
    set(ESMM_ARROW_PACKAGE ON)
    message(STATUS "Parquet: Apache Arrow ${Parquet_VERSION} in ${Parquet_DIR}")
  else()
    esmm_pyarrow(${ESMM_PYTHON3} missing)
    if(missing)
      message(STATUS "Parquet: ${missing}, which would bring Apache Arrow (pip install pyarrow): building without")
    endif()
  endif()
endif()
if(TARGET esmm::arrow)
  set(ESMM_WITH_PARQUET ON)
endif()
