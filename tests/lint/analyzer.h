/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Included before every file that clang-tidy reads: it looks at one file at a
 * time, and cannot know that these always return -1 (base/error.h).
 */
#include "base/error.h"

#define error_set(...) (error_set(__VA_ARGS__), -1)
#define error_wrap(...) (error_wrap(__VA_ARGS__), -1)
#define error_hint(...) (error_hint(__VA_ARGS__), -1)
#define error_status(...) (error_status(__VA_ARGS__), -1)
