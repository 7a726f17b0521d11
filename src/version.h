/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SRC_VERSION_H
#define SRC_VERSION_H

#define MESHD_VERSION "0.1.0"

#endif
