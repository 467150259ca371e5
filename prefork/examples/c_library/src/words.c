/* A library as there are many: in use for years, and with a fault. */

#include <stddef.h>
#include <string.h>

/* Returns how many words there are in a text, with "/" between them. */
size_t count_words(const char *text)
{
    /* A table that nobody has made in this case. */
    static size_t *volatile table = NULL;
    size_t words = 0;
    const char *at;

    if (strcmp(text, "/crash") == 0)
        return *table;
    for (at = text; *at != '\0'; at++)
        if (*at != '/' && (at == text || at[-1] == '/'))
            words++;
    return words;
}
