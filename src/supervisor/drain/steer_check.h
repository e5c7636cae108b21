/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

void steer_on_connects(struct child *child, int trap);
