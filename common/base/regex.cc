/* SPDX-License-Identifier: Apache-2.0 */
/* The only C++ here: RE2 has no other interface. */
extern "C" {
#include "base/err.h"
}
#include "base/regex.h"

#include <cstdlib>
#include <re2/re2.h>
#include <re2/set.h>
#include <string>
#include <vector>

#include "base/limits.h"

struct regex {
	re2::RE2 re;

	explicit regex(re2::StringPiece pattern, const re2::RE2::Options &o) : re(pattern, o) {}
};

struct regex_set {
	re2::RE2::Set set;

	explicit regex_set(const re2::RE2::Options &o) : set(o, re2::RE2::ANCHOR_BOTH) {}
};

static re2::StringPiece piece(struct str s)
{
	return re2::StringPiece(s.p ? s.p : "", s.n);
}

static re2::RE2::Options options()
{
	re2::RE2::Options o;

	o.set_log_errors(false);
	o.set_max_mem(LIMIT_REGEX_BYTES);
	return o;
}

struct regex *regex_new(struct str pattern, struct err *err)
{
	struct regex *r;

	if (pattern.n > LIMIT_REGEX_PATTERN) {
		err_set(err, 0, "the regular expression has more than %d bytes", LIMIT_REGEX_PATTERN);
		return nullptr;
	}
	r = new regex(piece(pattern), options());
	if (!r->re.ok())
		err_set(err, 0, "not a regular expression (RE2): %s", r->re.error().c_str());
	else if (r->re.ProgramSize() > LIMIT_REGEX_PROGRAM)
		err_set(err, 0, "the regular expression is too costly: a program of %d steps, more than %d", r->re.ProgramSize(), LIMIT_REGEX_PROGRAM);
	else
		return r;
	delete r;
	return nullptr;
}

void regex_free(struct regex *r)
{
	delete r;
}

bool regex_match(const struct regex *r, struct str text)
{
	return re2::RE2::FullMatch(piece(text), r->re);
}

bool regex_rewrite_ok(const struct regex *r, struct str rewrite, struct err *err)
{
	std::string why;

	if (r->re.CheckRewriteString(piece(rewrite), &why))
		return true;
	err_set(err, 0, "%s", why.c_str());
	return false;
}

bool regex_replace(const struct regex *r, struct str text, struct str rewrite, size_t max, struct str *ret)
{
	std::string s(text.p ? text.p : "", text.n);
	char *copy;

	if (re2::RE2::GlobalReplace(&s, r->re, piece(rewrite)) == 0 || s.size() > max)
		return false;
	copy = static_cast<char *>(std::malloc(s.size() + 1));
	if (!copy)
		return false;
	memcpy(copy, s.c_str(), s.size() + 1);
	*ret = { copy, s.size() };
	return true;
}

struct regex_set *regex_set_new(const struct str *patterns, int n)
{
	re2::RE2::Options o = options();
	struct regex_set *s;

	o.set_max_mem(LIMIT_REGEX_SET_BYTES);
	s = new regex_set(o);
	for (int i = 0; i < n; i++) {
		if (s->set.Add(piece(patterns[i]), nullptr) != i) {
			delete s;
			return nullptr;
		}
	}
	if (s->set.Compile())
		return s;
	delete s;
	return nullptr;
}

void regex_set_free(struct regex_set *s)
{
	delete s;
}

bool regex_set_match(const struct regex_set *s, struct str text, uint64_t *ret)
{
	re2::RE2::Set::ErrorInfo info = { re2::RE2::Set::kNoError };
	std::vector<int> hits;

	if (!s->set.Match(piece(text), &hits, &info))
		return info.kind == re2::RE2::Set::kNoError;
	for (int i : hits)
		ret[i / 64] |= UINT64_C(1) << (i % 64);
	return true;
}
