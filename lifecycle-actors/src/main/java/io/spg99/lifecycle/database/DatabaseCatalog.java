package io.spg99.lifecycle.database;

import io.spg99.lifecycle.model.DatabaseChange;
import io.spg99.lifecycle.model.DatabaseView;
import java.util.concurrent.CompletionStage;
import org.apache.pekko.Done;

/** Port: the list of databases as others read it. The journal is the truth; this is its shadow. */
public interface DatabaseCatalog {

    /** Writes what is to be seen of a database, unless something newer is there already. */
    CompletionStage<Done> project(DatabaseView view, long sequence);

    /** Tells whoever follows what happens. */
    CompletionStage<Done> announce(DatabaseChange change);

    /** Removes a deleted database; repeating it is harmless. */
    CompletionStage<Done> remove(String databaseId);
}
