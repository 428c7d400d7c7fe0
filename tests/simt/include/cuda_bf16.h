#pragma once
// Stands in for CUDA's header of this name: bfloat16 by way of float, rounded to nearest even.
#include <cuda_runtime.h>

#include "tests/simt/bfloat16.hpp"

using simt::cuda::__bfloat1622float2;
using simt::cuda::__bfloat162bfloat162;
using simt::cuda::__bfloat162float;
using simt::cuda::__bfloat16_as_ushort;
using simt::cuda::__float22bfloat162_rn;
using simt::cuda::__float2bfloat16;
using simt::cuda::__float2bfloat162_rn;
using simt::cuda::__float2bfloat16_rn;
using simt::cuda::__floats2bfloat162_rn;
using simt::cuda::__halves2bfloat162;
using simt::cuda::__high2bfloat16;
using simt::cuda::__high2float;
using simt::cuda::__low2bfloat16;
using simt::cuda::__low2float;
using simt::cuda::__nv_bfloat16;
using simt::cuda::__nv_bfloat162;
using simt::cuda::__ushort_as_bfloat16;
using nv_bfloat16 = simt::cuda::__nv_bfloat16;
using nv_bfloat162 = simt::cuda::__nv_bfloat162;
