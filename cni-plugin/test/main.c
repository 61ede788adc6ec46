#include <stdio.h>

void json_tests(void);
void namespaces_tests(void);
void text_tests(void);

int main(void)
{
	json_tests();
	namespaces_tests();
	text_tests();
	puts("weft-cni unit tests: ok");
	return 0;
}
