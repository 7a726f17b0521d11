/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the nft program. (libnftables is GPL-2 and is not linked.) */
#ifndef NET_NFT_H
#define NET_NFT_H

#include "base/err.h"
#include "base/str.h"

/* `nft -f -` with script on its standard input: all of it is applied, or nothing. 0 or -errno with the remedy in err. */
int nft_apply(struct str script, struct err *err);

#endif
