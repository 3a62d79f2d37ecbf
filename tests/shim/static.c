/* A program that the dynamic loader never sees. */
#include <stdio.h>

int main(void)
{
	puts("static");
	return 3;
}
