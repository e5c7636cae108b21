<?php
// SPDX-License-Identifier: MIT
// A page that tells which process answers.
header('Content-Type: text/plain');
echo 'pid=', getmypid(), "\n";
