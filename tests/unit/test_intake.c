/* SPDX-License-Identifier: Apache-2.0 */
#include "suite.h"
#include "traffic/intake.h"

/* The table of modes/README.md, row by row. */
START_TEST(the_table)
{
	static const enum intake B = INTAKE_BYTES, R = INTAKE_REQUESTS, E = INTAKE_END_TLS, P = INTAKE_REFUSE_PLAIN, T = INTAKE_REFUSE_TLS;
	static const enum mtls_mode modes[] = { MTLS_PERMISSIVE, MTLS_STRICT, MTLS_DISABLE };
	const struct { enum port_protocol p; enum intake want[3][4]; } rows[] = {   /* by mode: bytes, request, TLS, Istio's TLS */
		{ PROTOCOL_HTTP, { { R, R, T, E }, { P, P, E, E }, { R, R, T, T } } },
		{ PROTOCOL_GRPC, { { R, R, T, E }, { P, P, E, E }, { R, R, T, T } } },
		{ PROTOCOL_TCP, { { B, B, B, E }, { P, P, E, E }, { B, B, B, B } } },
		{ PROTOCOL_TLS, { { B, B, B, E }, { P, P, E, E }, { B, B, B, B } } },
		{ PROTOCOL_AUTO, { { B, R, B, E }, { P, P, E, E }, { B, R, B, B } } },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (int m = 0; m < 3; m++)
			for (int f = FIRST_BYTES; f <= FIRST_ISTIO_TLS; f++)
				ck_assert_msg(intake_of(rows[i].p, modes[m], false, f) == rows[i].want[m][f], "row %zu, mode %d, first %d", i, m, f);
}
END_TEST

/* Who came by a tunnel is known: neither STRICT nor TLS within it matters. */
START_TEST(in_a_tunnel)
{
	for (int m = MTLS_UNSET; m <= MTLS_STRICT; m++) {
		ck_assert_int_eq(intake_of(PROTOCOL_HTTP, m, true, FIRST_REQUEST), INTAKE_REQUESTS);
		ck_assert_int_eq(intake_of(PROTOCOL_AUTO, m, true, FIRST_REQUEST), INTAKE_REQUESTS);
		ck_assert_int_eq(intake_of(PROTOCOL_TCP, m, true, FIRST_REQUEST), INTAKE_BYTES);
		ck_assert_int_eq(intake_of(PROTOCOL_AUTO, m, true, FIRST_ISTIO_TLS), INTAKE_BYTES);
		ck_assert_int_eq(intake_of(PROTOCOL_HTTP, m, true, FIRST_TLS), INTAKE_REFUSE_TLS);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("intake");
	TCase *t = tcase_create("intake");

	tcase_add_test(t, the_table);
	tcase_add_test(t, in_a_tunnel);
	suite_add_tcase(s, t);
	return suite_run(s);
}
