/* SPDX-License-Identifier: Apache-2.0 */
/* PEM text turned into OpenSSL's objects, and damage turned into sentences. */
#ifndef TLS_PEM_INT_H
#define TLS_PEM_INT_H

#include <openssl/x509.h>

#include "base/err.h"
#include "base/str.h"

/* One or more; `what` is for the sentence ("certificate chain"). The caller owns what comes. */
int pem_certs(struct str pem, const char *what, STACK_OF(X509) **ret, struct err *err);
int pem_key(struct str pem, EVP_PKEY **ret, struct err *err);
/* PEM blocks, or one CRL in DER. */
int pem_crls(struct str text, STACK_OF(X509_CRL) **ret, struct err *err);
/* The thread's last OpenSSL error in words. */
const char *pem_why(void);

#endif
