mod corpus_rules;
