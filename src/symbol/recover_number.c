/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The numbers in code: offsets of fields and constants. They are all that there is of a function
 * that calls and names nothing. Each alone says little, and optimising changes many.
 */
#include "symbol/recover_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static int compare_numbers(const void *pa, const void *pb)
{
	const uint64_t *a = pa, *b = pb;

	return *a < *b ? -1 : *a > *b;
}

long ws_sig_number(const struct ws_sig_unit *sig, uint64_t number)
{
	const uint64_t *found = sig->number_count
					? bsearch(&number, sig->numbers, sig->number_count,
						  sizeof(number), compare_numbers)
					: NULL;

	return found ? found - sig->numbers : -1;
}

void ws_sig_numbers_sort(struct ws_sig_unit *sig)
{
	size_t kept = 0;

	if (sig->number_count)
		qsort(sig->numbers, sig->number_count, sizeof(sig->numbers[0]), compare_numbers);
	for (size_t i = 0; i < sig->number_count; i++) {
		if (!kept || sig->numbers[i] != sig->numbers[kept - 1])
			sig->numbers[kept++] = sig->numbers[i];
	}
	sig->number_count = kept;
}

/* What few functions have tells more. */
double ws_sig_bits(double share)
{
	double found = 1;

	for (; share > 2; share /= 2)
		found++;
	return found;
}

int ws_sig_numbers_weigh(struct ws_sig_unit *sig)
{
	sig->number_weights = calloc(sig->number_count + 1, sizeof(sig->number_weights[0]));
	if (!sig->number_weights)
		return -1;
	for (size_t n = 0; n < sig->number_count; n++) {
		size_t uses = 1;

		for (size_t f = 0; f < sig->function_count; f++)
			uses += ws_bit(sig->functions[f].numbers, n);
		sig->number_weights[n] = ws_sig_bits((double)sig->function_count / (double)uses);
	}
	return 0;
}

/* What optimising makes of these numbers: a constant is added instead of moved, and of an offset
 * and that of the second pointer there becomes one. */
static void explain_more(const struct ws_sig_unit *sig, struct ws_sig_function *function,
			 const uint64_t *inner)
{
	long pointer = ws_sig_number(sig, ws_number(true, 8));

	for (size_t n = 0; n < sig->number_count; n++) {
		bool is_offset = sig->numbers[n] == (uint32_t)sig->numbers[n];
		uint32_t value = (uint32_t)sig->numbers[n];
		long moved = is_offset ? ws_sig_number(sig, ws_number(false, value)) : -1;
		long before = is_offset && pointer >= 0 && ws_bit(inner, (size_t)pointer)
				      ? ws_sig_number(sig, ws_number(true, (int64_t)value - 8))
				      : -1;

		if ((moved >= 0 && ws_bit(inner, (size_t)moved)) ||
		    (before >= 0 && ws_bit(inner, (size_t)before)))
			ws_bit_set(function->inner_numbers, n);
	}
}

int ws_sig_numbers_derive(struct ws_sig_unit *sig)
{
	ws_autofree uint64_t *inner = calloc(sig->number_words, sizeof(uint64_t));

	for (size_t f = 0; f < sig->function_count && inner; f++) {
		memcpy(inner, sig->functions[f].inner_numbers,
		       sig->number_words * sizeof(uint64_t));
		explain_more(sig, &sig->functions[f], inner);
	}
	return inner ? 0 : -1;
}
